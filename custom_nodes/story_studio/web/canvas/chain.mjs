/** Rewires the chains of a story: each scene's node has an input that links to the scene before. */
import { BORDERS } from './units.mjs'

/** What a chain begins after: the output, or the input of the box around it, that the first place is linked to, or null. */
const sourceOf = (graph, place) => {
  const link = graph.getLink(place.node.inputs[place.entry].link)
  if (Number(link?.origin_id) === BORDERS[0]) return { border: graph.inputs[link.origin_slot] }
  const node = link && graph.getNodeById(link.origin_id)
  return node ? { node, slot: link.origin_slot } : null
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
}

/** Places as they are linked to each other: each chain from its first to its last. */
export function sequencesOf(graph, places) {
  const before = new Map(places.map(place => {
    const source = sourceOf(graph, place)
    return [place, places.find(one => one.node === source?.node && one.exit === source.slot)]
  }))
  const after = new Map([...before].filter(([, one]) => one).map(([place, one]) => [one, place]))
  return places.filter(place => !before.get(place)).map(first => {
    const sequence = [first]
    while (after.has(sequence.at(-1))) sequence.push(after.get(sequence.at(-1)))
    return sequence
  })
}
