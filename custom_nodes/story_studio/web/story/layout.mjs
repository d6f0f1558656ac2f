/** Arranges the nodes of an opened story on the canvas. */
import { captureState } from '../canvas/widgets.mjs'

const GAP = 40
const TITLE = 30
const OURS = ['Still', 'Clip', 'Retake', 'CheckClip', 'ContactSheet', 'Film'].map(name => `StoryStudio_${name}`)
/** Nodes that grow when they show their image or video, and by how much. */
const SHOWING = ['LoadImage', 'LoadVideo', ...OURS]
const SHOWN = 260

/** Arranges the groups: the shared nodes left, the scenes below each other, the film right. */
export function layOut(app, groups) {
  const { graph } = app
  const boxes = groups.map(([title, ids]) => place(title, ids.map(id => graph.getNodeById(Number(id))).filter(Boolean)))
  const [first, ...rest] = boxes
  const last = rest.length > 1 && rest.pop()
  let y = 0
  move(first, 0, 0)
  for (const box of rest) {
    move(box, first.width + 2 * GAP, y)
    y += box.height + 2 * GAP
  }
  if (last) move(last, first.width + 4 * GAP + Math.max(...rest.map(box => box.width)), 0)
  for (const { title, pos, width, height } of boxes) {
    const group = new LiteGraph.LGraphGroup(title)
    graph.add(group)
    group.pos = [pos[0] - GAP / 2, pos[1] - TITLE]
    group.size = [width + GAP, height + TITLE]
  }
  captureState(app)
  // The canvas knows the positions of nodes only after it has been drawn.
  requestAnimationFrame(() => requestAnimationFrame(() => app.extensionManager.command.execute('Comfy.Canvas.FitView')))
}

/** Positions, within their group, of the nodes of a group: each in a column to the right of its inputs. */
function place(title, nodes) {
  const columns = new Map()
  const inside = new Set(nodes)
  const column = node => {
    if (!columns.has(node)) {
      const above = node.inputs.map((_, slot) => node.getInputNode(slot)).filter(one => inside.has(one))
      columns.set(node, Math.max(0, ...above.map(one => column(one) + 1)))
    }
    return columns.get(node)
  }
  let x = 0
  let height = 0
  const at = new Map()
  const count = Math.max(...nodes.map(column)) + 1
  for (let number = 0; number < count; number++) {
    const stack = nodes.filter(node => column(node) === number)
    let y = 2 * TITLE
    for (const node of stack) {
      at.set(node, [x, y])
      y += node.size[1] + (SHOWING.includes(node.type) ? SHOWN : 0) + TITLE + GAP / 2
    }
    x += Math.max(...stack.map(node => node.size[0])) + GAP
    height = Math.max(height, y)
  }
  return { title, at, width: x - GAP, height }
}

function move(box, x, y) {
  box.pos = [x, y]
  for (const [node, [left, top]] of box.at) node.pos = [x + left, y + top]
}
