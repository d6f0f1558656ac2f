/** Copies nodes on the canvas; a copied box gets insides of its own. */
import { KEEPERS } from '../shared/nodes.mjs'
import { root } from '../shared/workflow.mjs'
import { giveOwnIds } from './own_ids.mjs'
import { widgetOf } from './widgets.mjs'

const CLIPBOARD = 'litegrapheditor_clipboard'

/**
 * Copies nodes to where they are, with the links into them.
 *
 * @returns a Map from each node to its copy.
 */
export function copyNodes(app, graph, nodes) {
  const { canvas } = app
  const kept = localStorage.getItem(CLIPBOARD)
  const shown = canvas.graph
  if (canvas.graph !== graph) canvas.setGraph(graph)
  const known = new Set(graph.nodes)
  try {
    canvas.copyToClipboard(nodes)
    const copied = JSON.parse(localStorage.getItem(CLIPBOARD) ?? '{}')
    if (copied.subgraphs?.length) {
      giveOwnIds(root(app).state, copied)
      localStorage.setItem(CLIPBOARD, JSON.stringify(copied))
    }
    const corner = [0, 1].map(axis => Math.min(...nodes.map(node => node.pos[axis])))
    canvas.pasteFromClipboard({ connectInputs: true, position: corner })
  } finally {
    if (canvas.graph !== shown) canvas.setGraph(shown)
    if (kept === null) localStorage.removeItem(CLIPBOARD)
    else localStorage.setItem(CLIPBOARD, kept)
  }
  const copies = graph.nodes.filter(node => !known.has(node))
  return new Map(nodes.map((node, index) => [node, copies[index]]))
}

/** The copy of a path that leads to a copied node, or to one in it, which may have another id; null if none of it is copied. */
export function twinOf(path, copies) {
  const start = path.findIndex(node => copies.has(node))
  if (start < 0) return null
  const twins = [...path.slice(0, start), copies.get(path[start])]
  for (const node of path.slice(start + 1)) {
    twins.push(twins.at(-1).subgraph.nodes[path[twins.length - 1].subgraph.nodes.indexOf(node)])
  }
  return twins
}

/**
 * The copied Stills and Clips make results of their own: no take is chosen for them.
 *
 * @param around the boxes that the nodes are in, outermost first.
 */
export function forgetTakes(nodes, around) {
  for (const node of nodes) {
    const path = [...around, node]
    if (node.subgraph) forgetTakes(node.subgraph.nodes, path)
    const take = KEEPERS.includes(node.type) && widgetOf(path, 'take')
    if (take) take.value = ''
  }
}
