/** Finds nodes and widgets on the canvas by ids of the flattened graph, where "12:3" is node 3 in subgraph node 12. */
import { root } from '../shared/workflow.mjs'
import { captureState } from './undo.mjs'

/** Stands for the inputs of a subgraph, inside of it, as the origin of a link. */
export const INPUTS_OF_SUBGRAPH = -10

/** The node and the subgraph nodes around it, outermost first. */
export function pathTo(app, id) {
  const path = []
  for (const part of id.split(':')) {
    const graph = path.length ? path.at(-1).subgraph : root(app)
    const node = graph?.getNodeById(/^\d+$/.test(part) ? Number(part) : part)
    if (!node) return []
    path.push(node)
  }
  return path
}

/** Whether nodes of these types are in a graph or in a box of it. */
export const hasNode = (graph, types) => (graph?.nodes ?? []).some(node => types.includes(node.type) || (node.subgraph && hasNode(node.subgraph, types)))

/** The widget that an input has its value from: on the node, on a primitive node or on a subgraph node. */
export function widgetOf(path, input) {
  const node = path.at(-1)
  const link = node?.graph.getLink(node.inputs?.find(slot => slot.name === input)?.link)
  if (!link) return node?.widgets?.find(widget => widget.name === input)
  if (Number(link.origin_id) === INPUTS_OF_SUBGRAPH) {
    const outer = path.at(-2)
    return widgetOf(path.slice(0, -1), outer?.inputs[link.origin_slot]?.name)
  }
  const origin = node.graph.getNodeById(link.origin_id)
  if (origin?.widgets?.length) return origin.widgets[0]
  const only = origin?.inputs?.length === 1 && origin.inputs[0].name
  return only ? widgetOf([...path.slice(0, -1), origin], only) : undefined
}

/**
 * The widget behind an input, if none of the `others` has its value from it too. If one has, the link to the shared
 * widget is removed, and the node's own widget is used.
 */
export function ownWidget(app, place, others) {
  const own = findOwnWidget(app, place, others)
  own?.detach()
  return own?.widget
}

/** As `ownWidget`, but nothing is removed until `detach()` is called; undefined, or `{widget, detach}`. */
export function findOwnWidget(app, { id, input }, others) {
  const path = pathTo(app, id)
  const used = new Set(others.map(other => widgetOf(pathTo(app, other.id), other.input)))
  const widget = widgetOf(path, input)
  if (widget && !used.has(widget)) return { widget, detach() {} }
  const node = path.at(-1)
  const own = node?.widgets?.find(one => one.name === input)
  if (path.length !== 1 || !own || own === widget) return undefined
  return { widget: own, detach: () => node.disconnectInput(inputSlot(node, input)) }
}

/** The number of an input by its name; -1 without one. */
export const inputSlot = (node, name) => node.inputs.findIndex(slot => slot.name === name)

/** Sets a widget as if it was typed there, as a part of a step of undo. */
export function putValue(app, widget, value) {
  widget.value = value
  widget.callback?.(value, app.canvas)
}

/** Sets a widget, in one step of undo. */
export function setWidget(app, widget, value) {
  putValue(app, widget, value)
  app.graph.setDirtyCanvas(true, true)
  captureState(app)
}

/** The widgets that let ComfyUI change a seed after each run: the next run would not continue with the results on display. */
export function seedChangers(app, { id, input }) {
  const path = pathTo(app, id)
  const widgets = [widgetOf(path, input), path.at(-1)?.widgets?.find(one => one.name === input)]
  return widgets.flatMap(widget => widget?.linkedWidgets ?? []).filter(control => ['randomize', 'increment', 'decrement'].includes(control.value))
}

/** Brings a node, or the subgraph node around it, into view and selects it. */
export function show(app, id) {
  const [node] = pathTo(app, id)
  if (!node) return
  if (app.canvas.graph !== root(app)) app.canvas.setGraph(root(app))
  app.canvas.centerOnNode(node)
  app.canvas.selectItems([node])
}
