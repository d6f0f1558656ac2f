/** Rewires the chains of a story: each scene's node has an input that links to the scene before. */
import { BORDERS } from './units.mjs'

/** The output or border at the beginning of a link, or null. */
const startOf = (graph, link) => {
  if (Number(link?.origin_id) === BORDERS[0]) return { border: graph.inputs[link.origin_slot] }
  const node = link && graph.getNodeById(link.origin_id)
  return node ? { node, slot: link.origin_slot } : null
}

/** What a place is linked to: an output, or an input of the box around it; null if nothing. */
const sourceOf = (graph, place) => startOf(graph, graph.getLink(place.node.inputs[place.entry].link))

/** The same beyond the nodes that only pass a link on, as reroutes do; and these nodes, `passed`. */
function originOf(graph, place) {
  const passed = []
  let link = graph.getLink(place.node.inputs[place.entry].link)
  for (;;) {
    const start = startOf(graph, link)
    const passes = start?.node?.isVirtualNode && !start.node.subgraph && !passed.includes(start.node)
    const before = passes && start.node.getInputLink(start.slot)
    if (!before) return { source: start, passed }
    passed.push(start.node)
    link = before
  }
}

/** The inputs, and the outputs of the box around it, that the output of a place is linked to. */
const targetsOf = (graph, place) =>
  (place.node.outputs[place.exit].links ?? [])
    .map(id => graph.getLink(id))
    .filter(Boolean)
    .map(link =>
      Number(link.target_id) === BORDERS[1] ? { border: graph.outputs[link.target_slot] } : { node: graph.getNodeById(link.target_id), slot: link.target_slot },
    )
    .filter(target => target.border || target.node)

/**
 * Links places in another order, and nothing else.
 *
 * @param before the places in the order in which they are linked now.
 * @param after those in which they are to be linked; some may be missing or new, at least one must stay.
 * @param ends the inputs that read a chain that is empty so far, each `{node, slot}`.
 */
export function rewire(graph, before, after, ends = []) {
  const head = before.length ? sourceOf(graph, before[0]) : null
  const tails = before.length ? targetsOf(graph, before.at(-1)) : ends
  const passed = before.slice(1).flatMap(place => originOf(graph, place).passed)
  const inner = new Set([...passed, ...before.map(({ node }) => node)])
  // What else reads a place that goes, as another film that ends with it.
  const readers = before.slice(0, -1).map((place, index) => {
    const heir = before.slice(0, index).findLast(one => after.includes(one))
    return { heir, targets: after.includes(place) ? [] : targetsOf(graph, place).filter(({ node }) => node && !inner.has(node)) }
  })
  for (const { node, entry } of [...before, ...after]) node.disconnectInput(entry)
  after.forEach(({ node, entry }, index) => {
    const source = index ? { node: after[index - 1].node, slot: after[index - 1].exit } : head
    if (source?.border) source.border.connect(node.inputs[entry], node)
    else source?.node.connect(source.slot, node, entry)
  })
  const last = after.at(-1)
  // What the last scene's own nodes read of it stays.
  for (const { border, node, slot } of tails) {
    if (border) border.connect(last.node.outputs[last.exit], last.node)
    else if (node !== last.node) last.node.connect(last.exit, node, slot)
  }
  for (const { heir, targets } of readers) for (const { node, slot } of targets) heir?.node.connect(heir.exit, node, slot)
  for (const node of passed) if (!node.outputs.some(output => output.links?.length)) graph.remove(node)
}

/** Places as they are linked to each other: each chain from its first to its last. */
export function sequencesOf(graph, places) {
  const before = new Map(places.map(place => {
    const { source } = originOf(graph, place)
    return [place, places.find(one => one.node === source?.node && one.exit === source.slot)]
  }))
  const after = new Map([...before].filter(([, one]) => one).map(([place, one]) => [one, place]))
  return places.filter(place => !before.get(place)).map(first => {
    const sequence = [first]
    while (after.has(sequence.at(-1))) sequence.push(after.get(sequence.at(-1)))
    return sequence
  })
}
