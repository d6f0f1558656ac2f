/** Ids for the insides of copied boxes: interfaces warn of each that a workflow has twice, and give it another. */

/**
 * Gives what is in copied subgraphs ids that the workflow does not have.
 *
 * Subgraphs with reroutes keep theirs, which have more places.
 *
 * @param state the root graph's, with the last ids that were given.
 * @param copied the content of ComfyUI's clipboard, which is changed.
 */
export function giveOwnIds(state, copied) {
  const boxes = [...copied.nodes, ...copied.subgraphs.flatMap(({ nodes }) => nodes)]
  for (const subgraph of copied.subgraphs) {
    if ([subgraph.reroutes, subgraph.floatingLinks].some(list => list?.length)) continue
    renumber(state, subgraph, boxes.filter(({ type }) => type === subgraph.id))
  }
}

function renumber(state, subgraph, boxes) {
  const nodes = new Map(subgraph.nodes.map(({ id }) => [id, ++state.lastNodeId]))
  const links = new Map((subgraph.links ?? []).map(({ id }) => [id, ++state.lastLinkId]))
  const ofNode = id => nodes.get(id) ?? id
  const ofLink = id => links.get(id) ?? id
  for (const node of subgraph.nodes) {
    node.id = ofNode(node.id)
    for (const input of node.inputs ?? []) input.link = ofLink(input.link)
    for (const output of node.outputs ?? []) output.links = output.links?.map(ofLink) ?? null
  }
  for (const link of subgraph.links ?? []) {
    Object.assign(link, { id: ofLink(link.id), origin_id: ofNode(link.origin_id), target_id: ofNode(link.target_id) })
  }
  for (const group of subgraph.groups ?? []) group.id = ++state.lastGroupId
  for (const widget of subgraph.widgets ?? []) widget.id = ofNode(widget.id)
  for (const { properties } of boxes) {
    const shown = properties?.proxyWidgets
    if (Array.isArray(shown)) properties.proxyWidgets = shown.map(([id, ...name]) => [String(ofNode(Number(id))), ...name])
  }
  for (const slot of [...(subgraph.inputs ?? []), ...(subgraph.outputs ?? [])]) slot.linkIds = slot.linkIds?.map(ofLink)
  if (subgraph.state) Object.assign(subgraph.state, { lastNodeId: state.lastNodeId, lastLinkId: state.lastLinkId, lastGroupId: state.lastGroupId })
}
