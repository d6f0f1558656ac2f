/** The voices of the scenes: which recording each clip speaks, and what is wrong with it, before it is rendered. */
import { markNode } from '../canvas/mark.mjs'
import { pathTo } from '../canvas/widgets.mjs'
import { ask } from '../shared/server.mjs'
import { t } from '../shared/words.mjs'

/** The nodes that speak a recording: without one on the canvas there is nothing to check. */
const SPEAKERS = ['StoryStudio_TalkingVideo', 'StoryStudio_Animatic']
/** Milliseconds without a change after which the recordings are checked while the panel is closed. */
const CALM = 1000

/**
 * Reads the voices of the workflow, and marks the loaders of recordings that something is wrong with.
 *
 * @returns `of(clip)`, as POST /story_studio/voice gives it, or undefined; `refresh(prompt)`, with the API workflow that
 *   the panel has read; `watch()`, which keeps the marks up to date while the panel is closed.
 */
export function createVoices(studio) {
  const { app } = studio
  let byClip = {}
  let marked = new Set()
  let turn = 0
  let timer = 0

  async function refresh(prompt) {
    clearTimeout(timer)
    const mine = ++turn
    let answer = {}
    try {
      if (Object.values(prompt).some(node => SPEAKERS.includes(node.class_type))) answer = await ask(app, 'voice', { prompt })
    } catch (error) {
      // Everything else works without it, and a canvas that cannot be read has been reported.
      console.warn('Story Studio: the recordings could not be checked.', error)
    }
    if (mine !== turn) return
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
      markNode(node, { verdict: usable ? 'warn' : 'fail', finding: { name: '', text: faultText(faults[0]) } })
      marked.add(node)
    }
    for (const node of before) if (!marked.has(node)) markNode(node)
  }

  async function check() {
    // An open panel reads the canvas itself.
    if (studio.isOpen() || !speaks(app.rootGraph ?? app.graph)) return
    try {
      await refresh((await app.graphToPrompt()).output)
    } catch {
      // ComfyUI reports a graph that it cannot read when it is queued.
    }
  }

  return {
    of: clip => byClip[clip],
    refresh,
    watch() {
      clearTimeout(timer)
      timer = setTimeout(check, CALM)
    },
  }
}

/** A fault as a sentence. The server writes English; elsewhere it is a text for its kind. */
export function faultText({ kind, text }) {
  const key = `voice: ${kind}`
  return t(key) === key ? text : t(key)
}

const speaks = graph => (graph?.nodes ?? []).some(node => SPEAKERS.includes(node.type) || (node.subgraph && speaks(node.subgraph)))
