/** Arranges the nodes of an opened story: plain nodes as a workflow has them. */

const GAP = 40
const TITLE = 30
const WIDTH = 340
const OURS = ['Still', 'Clip', 'Retake', 'CheckClip', 'ContactSheet', 'Film'].map(name => `StoryStudio_${name}`)
/** Nodes that grow when they show their image or video, and by how much. */
const SHOWN = 260
const GROWTH = { LoadImage: 360, LoadVideo: 360, ...Object.fromEntries(OURS.map(type => [type, SHOWN])) }

/** The height that these have once they are on the canvas, where a player and a mark come too. */
const LEAST = { LoadAudio: 180 }

const heightOf = node => Math.max(node.size[1], LEAST[node.type] ?? 0) + (GROWTH[node.type] ?? 0)

/**
 * Places the boxes: the settings left, the scenes in rows, each below its files, and the film right.
 *
 * @param story `columns`, each with `kind`, `title`, `box` and the nodes `beside` it; `end`, the nodes behind them;
 *   and their `title`.
 * @returns the groups around them.
 */
export function arrange({ columns, end, title }) {
  const groups = []
  const frame = (name, x, y, width, height) => groups.push({ id: groups.length + 1, title: name, bounding: [x - GAP / 2, y - 2 * TITLE, width + GAP, height + 3 * TITLE], color: '#3f789e', font_size: 24, flags: {} })
  const [first, scenes] = [columns.filter(one => one.kind === 'settings'), columns.filter(one => one.kind !== 'settings')]
  let x = 0
  for (const { box, title: name } of first) {
    Object.assign(box, { pos: [x, 0] })
    frame(name, x, 0, WIDTH, heightOf(box) + SHOWN / 2)
    x += WIDTH + 3 * GAP
  }
  const count = Math.max(4, Math.ceil(Math.sqrt(scenes.length * 1.6)))
  let y = 0
  for (let start = 0; start < scenes.length; start += count) {
    const row = scenes.slice(start, start + count)
    const above = Math.max(...row.map(({ beside }) => stackHeight(beside)))
    const below = Math.max(0, ...row.map(({ box }) => (box ? heightOf(box) + SHOWN : 0)))
    row.forEach(({ box, beside, title: name }, index) => {
      const left = x + index * (WIDTH + 2 * GAP)
      stack(beside, left, y)
      if (box) box.pos = [left, y + above]
      frame(name, left, y, WIDTH, above + below)
    })
    y += above + below + 4 * TITLE + GAP
  }
  x += Math.min(count, scenes.length) * (WIDTH + 2 * GAP) + GAP
  stack(end, x, 0)
  if (end.length) frame(title, x, 0, Math.max(WIDTH, ...end.map(node => node.size[0])), stackHeight(end))
  return groups
}

const stackHeight = nodes => nodes.reduce((sum, node) => sum + heightOf(node) + TITLE + GAP / 2, 0)

function stack(nodes, x, y) {
  let top = y
  for (const node of nodes) {
    node.pos = [x, top]
    if (node.size[0] < WIDTH) node.size = [WIDTH, node.size[1]]
    top += heightOf(node) + TITLE + GAP / 2
  }
}

/** Places the nodes inside of a box: each in a column to the right of its inputs. */
export function inside({ nodes, links }) {
  const byId = new Map(nodes.map(node => [node.id, node]))
  const above = new Map(nodes.map(node => [node, links.filter(link => link.target_id === node.id).map(link => byId.get(link.origin_id)).filter(Boolean)]))
  const columns = new Map()
  const column = node => {
    if (!columns.has(node)) columns.set(node, Math.max(0, ...above.get(node).map(one => column(one) + 1)))
    return columns.get(node)
  }
  let x = 0
  const count = Math.max(...nodes.map(column)) + 1
  for (let number = 0; number < count; number++) {
    const those = nodes.filter(node => column(node) === number)
    let y = 0
    for (const node of those) {
      node.pos = [x, y]
      y += heightOf(node) + TITLE + GAP / 2
    }
    x += Math.max(...those.map(node => node.size[0])) + GAP
  }
}
