/** Repairs what older ComfyUI interfaces saved of boxes (subgraph nodes) for newer interfaces. */

import { isBefore } from '../shared/interface.mjs'

/** The first that keeps a box's values in the box, not in "proxy widgets" of the nodes inside. */
const FIRST_WITH_OWN_VALUES = 38

const ours = node => String(node?.type).startsWith('StoryStudio_')

/**
 * Removes the values that an older interface saved for the widgets of boxes, once the boxes have these values.
 *
 * Interfaces up to 1.37 save such a widget as one of node "-1". Newer ones give its value to the box, but also
 * quarantine it because they find no node "-1". From then on, every load restores it over what was saved later.
 *
 * @param graphs graphs with their subgraphs, from a file or on the canvas.
 */
export function forgetOldValues(graphs) {
  const nodes = graphs.flatMap(graph => graph.nodes ?? [])
  if (!nodes.some(ours)) return
  for (const { properties, inputs, widgets_values: values } of nodes.filter(Boolean)) {
    if (!isBefore(FIRST_WITH_OWN_VALUES)) keepValuesInside(properties?.proxyWidgets, values)
    if (!Array.isArray(properties?.proxyWidgetErrorQuarantine)) continue
    const has = name => inputs?.some(input => input.widget && input.name === name)
    const old = entry => entry?.originalEntry?.[0] === '-1' && has(entry.originalEntry[1])
    const others = properties.proxyWidgetErrorQuarantine.filter(entry => !old(entry))
    if (others.length) properties.proxyWidgetErrorQuarantine = others
    else delete properties.proxyWidgetErrorQuarantine
  }
}

/**
 * Older interfaces save null for a widget that a box only shows, because the node inside has its value. Newer ones
 * take null for the value, unless the place in the list is empty.
 */
function keepValuesInside(shown, values) {
  if (!Array.isArray(shown) || !Array.isArray(values)) return
  for (const place of shown.keys()) if (values[place] === null) delete values[place]
}
