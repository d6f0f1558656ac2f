/** Changes the recording of a scene on the canvas. */
import { INPUTS_OF_SUBGRAPH, inputSlot, pathTo } from './widgets.mjs'

const LOADER = 'LoadAudio'
/** Pixels below a loader for what `markNode` adds. */
const ROOM_FOR_MARK = 34
/** Nodes that stand in for a recording until there is one. */
const PLACEHOLDERS = ['EmptyAudio']

/**
 * Makes a clip speak a file of the input folder.
 *
 * The file is set on the clip's own loader. If other clips speak the same one, or there is none, another loader is
 * linked in its place, and a silence that nothing else needs is removed.
 */
export function setVoice(app, voice, file) {
  const loader = voice.loader && !voice.others.length && pathTo(app, voice.loader).at(-1)
  const widget = loader?.widgets?.find(one => one.name === 'audio')
  if (widget && !loader.inputs?.find(slot => slot.name === 'audio')?.link) choose(widget, file)
  else linkLoader(app, voice, file)
  app.graph.setDirtyCanvas(true, true)
}

/** The node and the input at which a clip's audio enters the graph of its source: outside of the box that uses it. */
function entry(app, { speaker }) {
  let path = pathTo(app, speaker)
  let input = 'audio'
  for (;;) {
    const node = path.at(-1)
    const slot = inputSlot(node, input)
    const link = node.graph.getLink(node.inputs[slot]?.link)
    if (Number(link?.origin_id) !== INPUTS_OF_SUBGRAPH) return { node, slot, source: link && node.graph.getNodeById(link.origin_id) }
    path = path.slice(0, -1)
    input = path.at(-1).inputs[link.origin_slot].name
  }
}

function linkLoader(app, voice, file) {
  const { node, slot, source } = entry(app, voice)
  const { graph } = node
  const replaced = PLACEHOLDERS.includes(source?.type) && source.outputs[0].links.length === 1 ? source : null
  graph.beforeChange()
  const loader = LiteGraph.createNode(LOADER)
  graph.add(loader)
  loader.pos = [node.pos[0] - loader.size[0] - 60, node.pos[1]]
  if (replaced) takePlace(loader, replaced)
  loader.connect(0, node, slot)
  if (replaced) graph.remove(replaced)
  choose(loader.widgets.find(one => one.name === 'audio'), file)
  graph.afterChange()
}

/** Puts a node where another one was, so that what is below stays free, also when the loader is marked. */
function takePlace(node, old) {
  const higher = Math.max(0, node.size[1] + ROOM_FOR_MARK - old.size[1])
  node.pos = [old.pos[0], old.pos[1] - higher]
  for (const group of node.graph.groups) {
    const [left, top] = group.pos
    const inside = old.pos[0] >= left && old.pos[0] < left + group.size[0] && old.pos[1] >= top && old.pos[1] < top + group.size[1]
    if (!inside) continue
    group.pos = [left, top - higher]
    group.size = [group.size[0], group.size[1] + higher]
  }
}

/** Sets the file of a loader. */
export function choose(widget, file) {
  const { values } = widget.options
  // A file that the list lacks would be marked as missing.
  if (Array.isArray(values) && !values.includes(file)) values.push(file)
  widget.value = file
  widget.callback?.(file)
}
