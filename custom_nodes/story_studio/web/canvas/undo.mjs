/** Undo on the canvas: each edit is one step of it, also text that is typed in the panel. */
import { root } from '../shared/workflow.mjs'

/** Milliseconds between looks at whether a workflow is there. */
const LOOK = 20

const trackerOf = app => app.extensionManager.workflow?.activeWorkflow?.changeTracker

/** Notifies ComfyUI of a change to the workflow, for undo and the mark of unsaved changes. */
export function captureState(app) {
  const tracker = trackerOf(app)
  // Newer interfaces renamed it and warn about the old name.
  if (tracker?.captureCanvasState) tracker.captureCanvasState()
  else tracker?.checkState?.()
}

/**
 * Makes several changes to the canvas as one step of undo, apart from what was changed before.
 *
 * @returns what the change returns.
 * @throws what the change throws; the canvas is as before then.
 */
export async function asOneStep(app, change) {
  captureState(app)
  const tracker = trackerOf(app)
  const before = { step: tracker?.undoQueue.at(-1), redo: [...(tracker?.redoQueue ?? [])] }
  app.canvas.emitBeforeChange()
  let isDone = false
  try {
    const result = change()
    isDone = true
    return result
  } finally {
    // Reading the workflow does this too, which would be another step of undo.
    for (const graph of new Set([root(app), app.canvas.graph])) graph.updateExecutionOrder()
    app.canvas.emitAfterChange()
    app.graph.setDirtyCanvas(true, true)
    captureState(app)
    if (!isDone && tracker) await rollBack(tracker, before)
  }
}

/** Waits while ComfyUI puts a workflow or a step of undo on the canvas: what is changed meanwhile would be lost. */
export async function restored(app) {
  for (;;) {
    const tracker = trackerOf(app)
    if (!tracker?._restoringState && !tracker?.constructor.isLoadingGraph) return
    await new Promise(done => setTimeout(done, LOOK))
  }
}

/** Undoes the step that was made last, if there is one, as if it had never been. */
async function rollBack(tracker, { step, redo }) {
  if (tracker.undoQueue.at(-1) === step) return
  await tracker.undo()
  tracker.redoQueue.splice(0, Infinity, ...redo)
}

/** The field that is typed in now, and the step of undo from before that. */
let typing = null

/**
 * Notes what was just typed in a field, as one step of undo from its first letter until `endTyping`.
 *
 * The first letter makes that step at once: what is changed on the canvas a moment after another step, newer
 * interfaces take for a part of that one.
 */
export function captureTyping(app, field) {
  if (typing?.field === field && typing.tracker === trackerOf(app)) return
  endTyping(app)
  const tracker = trackerOf(app)
  const last = tracker?.undoQueue.at(-1)
  captureState(app)
  const step = tracker?.undoQueue.at(-1)
  typing = { field, tracker, step: step === last ? null : step }
}

/** Ends the step of what is typed, if anything is. */
export function endTyping(app) {
  if (!typing) return
  const { tracker, step } = typing
  typing = null
  // In another workflow it is captured when that is opened.
  if (tracker !== trackerOf(app)) return
  captureState(app)
  if (!step) return
  const { undoQueue } = tracker
  if (undoQueue.at(-2) === step) undoQueue.pop()
  const wasTakenBack = undoQueue.at(-1) === step && tracker.constructor.graphEqual?.(step, tracker.activeState)
  if (wasTakenBack) undoQueue.pop()
}

/**
 * Keeps the browser from undoing what was typed while the focus is elsewhere: besides what ComfyUI undoes then, it
 * would change a text of the panel, and move the focus there, so that the next Ctrl+Z no longer reaches ComfyUI.
 */
export function leaveUndoToComfyUI() {
  window.addEventListener('keydown', event => {
    const undoes = (event.ctrlKey || event.metaKey) && ['z', 'y'].includes(event.key.toLowerCase())
    if (undoes && !event.target.closest?.('input, textarea, [contenteditable]')) event.preventDefault()
  })
}
