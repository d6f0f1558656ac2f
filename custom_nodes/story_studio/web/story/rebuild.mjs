/** The story on the canvas, changed as data and put back in its place. */
import { ask } from '../shared/server.mjs'
import { t } from '../shared/words.mjs'
import { root } from '../shared/workflow.mjs'
import { workflowOf, PLACE } from './boxes.mjs'
import { filesIn, viewOf } from './open.mjs'
import { memoryOf, readStory, remember, setMemory } from './read.mjs'
import { withSettings } from './remembered.mjs'
import { content, noteCanvas } from './unchanged.mjs'
import { offer } from './upload.mjs'

/** Milliseconds between looks at a workflow that was opened, whose previews come one after the other. */
const LOOKS = [150, 350, 500, 1000, 2000]

/**
 * Changes the story on the canvas, in the same tab and in one undo step. What did not change is not rendered again.
 * Asks first if something of the graph has no place in a story.
 *
 * @param studio see `createStudio`.
 * @param change a function of the story file's data that changes it, or returns other data; files are named as they
 *   are in ComfyUI's input folder.
 * @returns {Promise<string[] | null>} warnings, as sentences; null if the user does not want it.
 * @throws {Error} everything that is wrong with the changed story; the canvas stays as it is.
 */
export async function rebuild(studio, change) {
  const { app } = studio
  const checkCanvas = noteCanvas(app)
  const { data, losses } = await readStory(studio)
  const before = structuredClone(data)
  const changed = (await change(data)) ?? data
  const { profiles: earlier, workflows = {} } = memoryOf(app) ?? {}
  const profiles = withSettings(changed, before, earlier)
  const found = await ask(app, 'graph', { name: 'story.json', text: JSON.stringify(changed), files: {}, workflows })
  checkCanvas()
  if (!(await acceptLosses(app, losses, t('Change the story')))) return null
  offer(filesIn(found.canvas))
  const workflow = workflowOf(found.canvas, viewOf(app))
  const memory = await remember(app, found.canvas, changed, workflows)
  checkCanvas()
  keepPlaces(workflow, root(app))
  setMemory(workflow, { ...memory, profiles })
  await replace(app, workflow)
  await studio.refresh()
  return found.warnings
}

/** Asks whether to go on although this would be lost. */
export async function acceptLosses(app, losses, title) {
  if (!losses?.length || !app.extensionManager.dialog?.confirm) return true
  const message = t('Some of this graph has no place in a story, and is lost:')
  return !!(await app.extensionManager.dialog.confirm({ title, message, itemList: losses }))
}

/** Leaves nodes where the artist has put them, if each of them was there before. */
function keepPlaces(workflow, graph) {
  const before = new Map(graph.nodes.filter(node => node.properties?.[PLACE]).map(node => [node.properties[PLACE], node]))
  workflow.id = graph.id ?? workflow.id
  const { ds, ...extra } = graph.extra ?? {}
  Object.assign(workflow.extra, extra)
  if (!workflow.nodes.every(node => before.has(node.properties[PLACE]))) return
  for (const node of workflow.nodes) {
    const { pos, size, color, bgcolor, inputs } = before.get(node.properties[PLACE])
    Object.assign(node, { pos: [...pos] }, inputs.length === node.inputs.length && { size: [...size] }, color && { color, bgcolor })
  }
  workflow.groups = graph.groups.map(group => group.serialize())
}

/** Puts a workflow into the open tab, in one undo step. */
async function replace(app, workflow) {
  const open = app.extensionManager.workflow.activeWorkflow
  const tracker = open.changeTracker
  const { initialState } = tracker
  const before = JSON.parse(JSON.stringify(root(app).serialize()))
  await app.loadGraphData(workflow, true, false, open)
  // Loading begins a new history of changes; this is a change in the old one.
  Object.assign(tracker, { initialState })
  // Nor is there a step of what was drawn since the last change.
  while (tracker.undoQueue.length && content(tracker.undoQueue.at(-1)) === content(before)) tracker.undoQueue.pop()
  tracker.undoQueue.push(before)
  tracker.redoQueue.length = 0
  await settle(app, tracker)
  tracker.updateModified()
}

/** Keeps ComfyUI from making another step of undo of the sizes that nodes get when they and their previews are drawn. */
async function settle(app, tracker) {
  const steps = tracker.undoQueue.length
  const look = async ([wait, ...rest]) => {
    await new Promise(done => setTimeout(done, wait))
    const now = JSON.parse(JSON.stringify(root(app).serialize()))
    if (tracker.undoQueue.length !== steps || content(now) !== content(tracker.activeState)) return
    tracker.activeState = now
    if (rest.length) void look(rest)
  }
  await look(LOOKS)
}
