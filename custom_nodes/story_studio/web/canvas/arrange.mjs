/** Arranges the scenes on the canvas in their order, with the groups around them. */

/** Space after the last scene, if there is only one to see it from. */
const GAP = 60
const NUMBERED = /^(.*?)(\d+)$/

/**
 * Where the scenes are before a change.
 *
 * @param units of the scenes, in their order.
 * @returns what `arrange` moves them by.
 */
export function spotsOf(graph, units) {
  return units.map(unit => {
    const group = graph.groups.find(one => surrounds(graph, one, unit.nodes)) ?? null
    return { unit, group, box: group ? [...group.pos, ...group.size] : boxOf(unit.nodes) }
  })
}

/**
 * Moves scenes into the places of those before: one after the other, as wide as they are. Where scenes stand among
 * each other, each stays where it is, and a new one comes below.
 *
 * @param before from `spotsOf`.
 * @param after the spots in their new order; `box` of a new one is where it is now.
 */
export function arrange(graph, before, after) {
  if (areMixed(before)) {
    const known = new Set(before.map(spot => spot.unit))
    for (const spot of after) if (!known.has(spot.unit)) putBelow(graph, spot)
    return
  }
  const axis = axisOf(before)
  const starts = before.map(spot => spot.box[axis])
  const gaps = before.slice(1).map((spot, index) => spot.box[axis] - endOf(before[index], axis))
  const inRow = gaps.every(gap => gap >= 0)
  const usual = gaps.length ? gaps.at(-1) : GAP
  const last = Math.max(...before.map(spot => endOf(spot, axis)))
  const names = before.map(spot => spot.group && { title: spot.group.title, color: spot.group.color })
  let next = starts[0]
  const rest = restOf(graph, [...before, ...after], axis, last)
  after.forEach((spot, index) => {
    const start = inRow ? next : (starts[index] ?? last + (index - before.length) * GAP + GAP)
    const cross = before[Math.min(index, before.length - 1)].box[1 - axis]
    const to = axis ? [cross, start] : [start, cross]
    move(spot, [to[0] - spot.box[0], to[1] - spot.box[1]])
    next = start + spot.box[2 + axis] + Math.max(0, gaps[index] ?? usual)
  })
  rename(after, names)
  if (!inRow || !after.length) return
  const delta = Math.max(...after.map(spot => endOf(spot, axis))) - last
  if (delta) for (const item of rest) item.pos = axis ? [item.pos[0], item.pos[1] + delta] : [item.pos[0] + delta, item.pos[1]]
}

/** A group like another one, in the same place. */
export function copyGroup(graph, group) {
  const copy = new LiteGraph.LGraphGroup(group.title)
  graph.add(copy)
  copy.pos = [...group.pos]
  copy.size = [...group.size]
  copy.color = group.color
  copy.font_size = group.font_size
  return copy
}

/** What stands before the number of a group; undefined if it has none. */
export const stemOf = group => NUMBERED.exec(group.title ?? '')?.[1]

/** Groups that are numbered are numbered, and coloured, by their place. */
function rename(spots, names) {
  const parts = names.map(name => NUMBERED.exec(name?.title ?? ''))
  if (!parts[0] || parts.some(part => part?.[1] !== parts[0]?.[1]) || spots.some(spot => !spot.group)) return
  spots.forEach(({ group }, index) => {
    const known = names[index] ?? names[index - 2] ?? names.at(-1)
    group.title = `${parts[0][1]}${Number(parts[0][2]) + index}`
    group.color = known.color
  })
}

const endOf = ({ box }, axis) => box[axis] + box[2 + axis]

/** Whether nodes of one scene stand among those of another. */
function areMixed(spots) {
  const meet = (one, other) => [0, 1].every(axis => one.box[axis] < endOf(other, axis) && other.box[axis] < endOf(one, axis))
  return spots.some((one, index) => spots.slice(index + 1).some(other => meet(one, other)))
}

/** Moves a scene below all other nodes. */
function putBelow(graph, spot) {
  const others = [...graph.nodes, ...graph.groups].filter(item => !spot.unit.nodes.includes(item) && item !== spot.group)
  const bottom = Math.max(...others.map(item => item.pos[1] + item.size[1]))
  move(spot, [0, bottom + GAP - spot.box[1]])
}

function axisOf(spots) {
  const spread = axis => Math.max(...spots.map(spot => spot.box[axis])) - Math.min(...spots.map(spot => spot.box[axis]))
  return spread(1) > spread(0) ? 1 : 0
}

function move({ unit, group, box }, [x, y]) {
  if (!x && !y) return
  for (const item of [...unit.nodes, ...(group ? [group] : [])]) item.pos = [item.pos[0] + x, item.pos[1] + y]
  box[0] += x
  box[1] += y
}

/** What stands after the last scene. */
function restOf(graph, spots, axis, last) {
  const known = new Set(spots.flatMap(({ unit, group }) => [...unit.nodes, group]))
  return [...graph.nodes, ...graph.groups].filter(item => !known.has(item) && item.pos[axis] >= last - 1)
}

function boxOf(nodes) {
  const left = Math.min(...nodes.map(node => node.pos[0]))
  const top = Math.min(...nodes.map(node => node.pos[1]))
  const right = Math.max(...nodes.map(node => node.pos[0] + node.size[0]))
  const bottom = Math.max(...nodes.map(node => node.pos[1] + node.size[1]))
  return [left, top, right - left, bottom - top]
}

/** Whether a group has these nodes in it, and no others. */
function surrounds(graph, group, nodes) {
  const inside = ({ pos }) => pos[0] >= group.pos[0] && pos[1] >= group.pos[1] && pos[0] < group.pos[0] + group.size[0] && pos[1] < group.pos[1] + group.size[1]
  return nodes.length > 0 && nodes.every(inside) && graph.nodes.filter(inside).length === nodes.length
}
