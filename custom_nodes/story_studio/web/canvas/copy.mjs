/** Copies nodes on the canvas; a copied box gets insides of its own. */
import { KEEPERS } from '../shared/nodes.mjs'
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
  if (canvas.graph !== graph) canvas.setGraph(graph)
  const known = new Set(graph.nodes)
  try {
    canvas.copyToClipboard(nodes)
    const corner = [0, 1].map(axis => Math.min(...nodes.map(node => node.pos[axis])))
    canvas.pasteFromClipboard({ connectInputs: true, position: corner })
  } finally {
    if (kept === null) localStorage.removeItem(CLIPBOARD)
    else localStorage.setItem(CLIPBOARD, kept)
  }
  const copies = graph.nodes.filter(node => !known.has(node))
  return new Map(nodes.map((node, index) => [node, copies[index]]))
}

/** The copy of a path from a copied node to a node in it, which may have another id. */
export function twinOf(path, copies) {
  const twins = [copies.get(path[0])]
  for (const [index, node] of path.slice(1).entries()) {
    twins.push(twins.at(-1).subgraph.nodes[path[index].subgraph.nodes.indexOf(node)])
  }
  return twins
}

/** The copied Stills and Clips make results of their own: no take is chosen for them. */
export function forgetTakes(nodes, around = []) {
  for (const node of nodes) {
    const path = [...around, node]
    if (node.subgraph) forgetTakes(node.subgraph.nodes, path)
    const take = KEEPERS.includes(node.type) && widgetOf(path, 'take')
    if (take) take.value = ''
  }
}
