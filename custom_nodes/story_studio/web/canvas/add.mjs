/** Adds nodes to the canvas where nothing is. */

const GAP = 40

/** Adds a node at a place, or below what is there. */
export function addNode(graph, type, x, y) {
  const node = LiteGraph.createNode(type)
  const covers = other => other.pos[0] < x + node.size[0] && other.pos[0] + other.size[0] > x && other.pos[1] < y + node.size[1] + GAP && other.pos[1] + other.size[1] + GAP > y
  for (let other; (other = graph.nodes.find(covers)); ) y = other.pos[1] + other.size[1] + 2 * GAP
  graph.add(node)
  node.pos = [x, y]
  return node
}
