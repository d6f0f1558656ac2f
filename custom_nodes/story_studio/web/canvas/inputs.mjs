/** Values of inputs of the flattened graph, set on the widgets that they come from. */
import { asOneStep } from './undo.mjs'
import { pathTo, putValue, widgetOf } from './widgets.mjs'

/** A widget does not take a value, such as a number between two of its steps. */
class NotTaken extends Error {}

/**
 * Sets inputs in one undo step.
 *
 * @param prompt the canvas as an API workflow.
 * @param values each with the `id` of a node, its `input` and the `value`.
 * @param also what else is changed in the same step.
 * @returns {Promise<boolean>} whether it was done: each input has a widget that takes the value, and from which nothing
 *   else has its value.
 */
export async function setInputs(app, prompt, values, also) {
  const widgets = new Map()
  for (const { id, input, value } of values) {
    const widget = widgetOf(pathTo(app, id), input)
    if (!widget || (widgets.has(widget) && widgets.get(widget) !== value)) return false
    widgets.set(widget, value)
  }
  if (isSharedByOthers(app, prompt, widgets, new Set(values.map(({ id, input }) => `${id} ${input}`)))) return false
  try {
    await asOneStep(app, () => {
      also()
      for (const [widget, value] of widgets) {
        putValue(app, widget, value)
        if (widget.value !== value) throw new NotTaken()
      }
    })
  } catch (error) {
    if (error instanceof NotTaken) return false
    throw error
  }
  return true
}

/** Whether an input other than those that are set has its value from one of the widgets, as on a box with one size. */
function isSharedByOthers(app, prompt, widgets, set) {
  return Object.entries(prompt).some(([id, { inputs }]) => {
    const path = pathTo(app, id)
    return Object.keys(inputs).some(input => !Array.isArray(inputs[input]) && !set.has(`${id} ${input}`) && widgets.has(widgetOf(path, input)))
  })
}
