/** What ComfyUI keeps of a box (a subgraph on the canvas) in a file, mended between its older interfaces and its newer. */

const ours = node => String(node?.type).startsWith('StoryStudio_')

/**
 * Forgets what an older interface saved of the widgets of boxes in a story's workflow, once the boxes have it.
 *
 * Interfaces up to 1.37 call such a widget one of node "-1". Newer ones give its value to the box, do not find node
 * "-1", and therefore also set the value aside; from then on it comes back at every load, over what was saved since.
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
