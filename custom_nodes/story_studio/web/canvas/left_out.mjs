/** The scenes that are on the canvas, but left out of every run: those that are muted or bypassed there. */
import { KEEPERS } from '../shared/nodes.mjs'
import { root } from '../shared/workflow.mjs'
import { asOneStep } from './undo.mjs'
import { widgetOf } from './widgets.mjs'

const [ALWAYS, MUTED, BYPASSED] = [0, 2, 4]

/**
 * Finds them.
 *
 * @returns each with its `name`, whether it `isMuted` rather than bypassed, and the `nodes` that are.
 */
export function leftOutScenes(app) {
  const found = new Map()
  const visit = (graph, path, off) => {
    for (const node of graph?.nodes ?? []) {
      const here = [...path, node]
      const outermost = off ?? ([MUTED, BYPASSED].includes(node.mode) ? node : null)
      if (node.subgraph) visit(node.subgraph, here, outermost)
      if (!outermost || !KEEPERS.includes(node.type)) continue
      const name = String(widgetOf(here, 'name')?.value ?? '').trim() || node.title
      const scene = found.get(name) ?? { name, isMuted: false, nodes: new Set() }
      scene.nodes.add(outermost)
      scene.isMuted ||= outermost.mode === MUTED
      found.set(name, scene)
    }
  }
  visit(root(app), [], null)
  return [...found.values()]
}

/** Lets a scene be rendered again, in one undo step. */
export const takeIn = (app, scene) => setMode(app, scene, ALWAYS)

/** Bypasses a scene, which leaves out nothing but it. */
export const bypass = (app, scene) => setMode(app, scene, BYPASSED)

const setMode = (app, { nodes }, mode) => asOneStep(app, () => nodes.forEach(node => setAll(node, mode)))

/** ComfyUI mutes and bypasses what is in a box as well. */
function setAll(node, mode) {
  node.mode = mode
  node.subgraph?.nodes.forEach(inner => setAll(inner, mode))
}
