/** Repairs what older ComfyUI interfaces saved of boxes (subgraph nodes) for newer interfaces. */

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
  for (const { properties, inputs } of nodes.filter(Boolean)) {
    if (!Array.isArray(properties?.proxyWidgetErrorQuarantine)) continue
    const has = name => inputs?.some(input => input.widget && input.name === name)
    const old = entry => entry?.originalEntry?.[0] === '-1' && has(entry.originalEntry[1])
    const others = properties.proxyWidgetErrorQuarantine.filter(entry => !old(entry))
    if (others.length) properties.proxyWidgetErrorQuarantine = others
    else delete properties.proxyWidgetErrorQuarantine
  }
}
