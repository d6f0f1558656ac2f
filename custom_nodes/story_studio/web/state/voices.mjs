/** The voices of the scenes: which recording each clip speaks, and what is wrong with it, before it is rendered. */
import { markNode } from '../canvas/mark.mjs'
import { hasNode, pathTo } from '../canvas/widgets.mjs'
import { localized } from '../shared/sentences.mjs'
import { ask } from '../shared/server.mjs'
import { createTurns } from '../shared/turns.mjs'
import { openWorkflow, root } from '../shared/workflow.mjs'

/** The nodes that speak a recording: without one on the canvas there is nothing to check. */
const SPEAKERS = ['StoryStudio_TalkingVideo', 'StoryStudio_Animatic']
/** Milliseconds without a change after which the recordings are checked while the panel is closed. */
const CALM = 1000

/**
 * Reads the voices of the workflow, and marks the loaders of recordings that something is wrong with.
 *
 * @returns `of(clip)`, as POST /story_studio/voice gives it, or undefined; `forget()`, for another workflow;
 *   `refresh(prompt)`, with the API workflow that the panel has read; `settled()`, a promise that the last reading is
 *   shown; `watch()`, which keeps the marks up to date while the panel is closed.
 */
export function createVoices(studio) {
  const { app } = studio
  let byClip = {}
  let marked = new Set()
  const turn = createTurns()
  let timer = 0
  let last = Promise.resolve()

  const refresh = prompt => (last = read(prompt))

  async function read(prompt) {
    clearTimeout(timer)
    const isLast = turn()
    const workflow = openWorkflow(app)
    let answer = {}
    try {
      if (Object.values(prompt).some(node => SPEAKERS.includes(node.class_type))) answer = await ask(app, 'voice', { prompt })
    } catch (error) {
      // Everything else works without it, and a canvas that cannot be read has been reported.
      console.warn('Story Studio: the recordings could not be checked.', error)
    }
    // Another workflow has other loaders of the same ids.
    if (!isLast() || workflow !== openWorkflow(app)) return
    byClip = answer
    mark()
    studio.changed()
  }

  function mark() {
    const before = marked
    marked = new Set()
    for (const { loader, faults, usable } of Object.values(byClip)) {
      const node = loader && pathTo(app, loader).at(-1)
      if (!node || !faults.length) continue
      markNode(node, usable ? 'warn' : 'fail', localized(faults[0].text))
      marked.add(node)
    }
    for (const node of before) if (!marked.has(node)) markNode(node)
  }

  async function check() {
    // An open panel reads the canvas itself.
    if (studio.isOpen() || !hasNode(root(app), SPEAKERS)) return
    try {
      await refresh((await app.graphToPrompt()).output)
    } catch {
      // ComfyUI reports a graph that it cannot read when it is queued.
    }
  }

  return {
    of: clip => byClip[clip],
    forget: () => (byClip = {}),
    refresh,
    settled: () => last,
    watch() {
      clearTimeout(timer)
      timer = setTimeout(check, CALM)
    },
  }
}
