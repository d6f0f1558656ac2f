/** A story as a workflow of the interface: a box (subgraph node) for each scene, and what stands outside of them. */
import { INPUTS_OF_SUBGRAPH, inputSlot } from '../canvas/widgets.mjs'
import { t } from '../shared/words.mjs'
import { arrange, inside } from './layout.mjs'

const OUTPUTS = -20
/** Slots whose names in ComfyUI say little here, by their types. */
const NAMES = { CLIP: 'text encoder', CONDITIONING: 'negative' }
const FILES = { LoadAudio: 'voice', LoadImage: 'image', LoadVideo: 'video' }
/** The property of a node that says what of a story it stands for. */
export const PLACE = 'Story Studio'

/**
 * A workflow that ComfyUI opens.
 *
 * @param canvas `Boxes` as POST /story_studio/graph gives them: `nodes`, `boxes` and `end`.
 * @param view where the canvas is: `{width, height, left}` in pixels.
 */
export function workflowOf(canvas, view) {
  const numbers = { node: 0, link: 0 }
  const root = { nodes: [], links: [] }
  const boxes = canvas.boxes.map(box => createBox(box, numbers))
  const homes = new Map(boxes.flatMap(box => box.said.nodes.map(id => [id, box])))
  const made = new Map()
  for (const [id, content] of Object.entries(canvas.nodes)) {
    const home = homes.get(id)
    const node = createNode(content, ++numbers.node)
    made.set(id, { node, content, home, slot: name => inputSlot(node, name) })
    ;(home?.graph ?? root).nodes.push(node)
  }
  const join = joiner(made, root, numbers)
  // What a box shows stands above what it has from the settings.
  const later = []
  for (const [id, { node, content, home, slot }] of made) {
    for (const [name, value] of Object.entries(content.inputs)) {
      if (!Array.isArray(value)) continue
      if (home && made.get(value[0])?.home !== home && node.inputs[slot(name)]?.widget) later.push([value, id, name])
      else join(value, id, name)
    }
    if (!home) node.properties[PLACE] = `${content.class_type} ${besideOf(canvas, id)}`
  }
  for (const box of boxes.filter(one => one.said.nodes.length)) {
    for (const [id, input] of box.said.open) if (!Array.isArray(canvas.nodes[id].inputs[input])) box.open(made.get(id), input)
    for (const field of box.said.fields) box.show(field, made)
  }
  for (const each of later) join(...each)
  for (const box of boxes.filter(one => one.said.nodes.length)) {
    inside(box.graph)
    root.nodes.push(box.finish())
  }
  const beside = new Map(canvas.boxes.map(box => [box, box.beside.map(id => made.get(id).node)]))
  titleFiles(beside)
  const groups = arrange({
    columns: boxes.map(({ said, node }) => ({ kind: said.kind, title: titleOf(said), box: said.nodes.length ? node : null, beside: beside.get(said) })),
    end: canvas.end.map(id => made.get(id).node),
    title: t('Storyboard and film'),
  })
  return {
    id: LiteGraph.uuidv4(),
    revision: 0,
    last_node_id: numbers.node,
    last_link_id: numbers.link,
    nodes: root.nodes,
    links: root.links.map(link => [link.id, link.origin_id, link.origin_slot, link.target_id, link.target_slot, link.type]),
    groups,
    definitions: { subgraphs: boxes.filter(box => box.said.nodes.length).map(box => box.definition()) },
    config: {},
    extra: { ds: viewOf(groups, view) },
    version: 0.4,
  }
}

/** A node with these values as the running interface saves it. */
function createNode({ class_type, inputs, _meta }, id) {
  const node = LiteGraph.createNode(class_type)
  if (!node) throw new Error(t('ComfyUI has no node {}: install its node pack, and open the story again.', class_type))
  for (const [name, value] of Object.entries({ control_after_generate: 'fixed', ...inputs })) {
    const widget = node.widgets?.find(one => one.name === name)
    if (widget && !Array.isArray(value)) widget.value = value
  }
  const saved = node.serialize()
  const title = /StoryStudio_|^Load/.test(class_type) ? '' : (_meta?.title ?? '').split(': ').at(-1)
  if (title) saved.title = title
  saved.inputs = (saved.inputs ?? []).map(input => ({ ...input, link: null }))
  saved.outputs = (saved.outputs ?? []).map(output => ({ ...output, links: [] }))
  return { ...saved, id, size: [...node.size], properties: { ...saved.properties } }
}

/** Joins an output to an input, through the boxes in which they are. */
function joiner(made, root, numbers) {
  return ([from, slot], to, name) => {
    const source = made.get(from)
    const target = made.get(to)
    if (!source) return
    const { type, name: output } = source.node.outputs[slot]
    let graph = root
    let [origin, originSlot] = [source.node, slot]
    let [end, endSlot] = [target.node, target.slot(name)]
    if (source.home === target.home) graph = source.home?.graph ?? root
    else {
      if (source.home) [origin, originSlot] = [source.home.node, source.home.output(source, slot, type, output)]
      if (target.home) {
        const named = FILES[source.content.class_type] ?? (source.home?.said.kind === 'settings' ? source.home.nameOf(originSlot) : name)
        const value = end.inputs[endSlot].widget ? source.content.inputs.value : undefined
        const { index, isNew } = target.home.input(`${from} ${slot}`, named, type, value)
        link(target.home.graph, numbers, INPUTS_OF_SUBGRAPH, index, end.id, endSlot, type)
        end.inputs[endSlot].link = target.home.graph.links.at(-1).id
        if (!isNew) return
        ;[end, endSlot] = [target.home.node, index]
      }
    }
    const { id } = link(graph, numbers, origin.id, originSlot, end.id, endSlot, type)
    origin.outputs[originSlot].links.push(id)
    end.inputs[endSlot].link = id
  }
}

function link(graph, numbers, origin_id, origin_slot, target_id, target_slot, type) {
  const one = { id: ++numbers.link, origin_id, origin_slot, target_id, target_slot, type }
  graph.links.push(one)
  return one
}

/** A box that is being filled: its node outside, and its graph inside. */
function createBox(said, numbers) {
  const type = LiteGraph.uuidv4()
  const graph = { nodes: [], links: [], groups: [] }
  const slots = { inputs: [], outputs: [] }
  const known = { inputs: new Map(), outputs: new Map() }
  const title = titleOf(said)
  const node = {
    id: ++numbers.node,
    type,
    title,
    pos: [0, 0],
    size: [0, 0],
    flags: {},
    order: 0,
    mode: 0,
    inputs: [],
    outputs: [],
    properties: { [PLACE]: `${said.kind} ${said.id}` },
    widgets_values: [],
  }
  const free = (side, name) => (slots[side].some(slot => slot.name === name) ? free(side, next(name)) : name)
  const add = (side, key, name, kind) => {
    const index = slots[side].push({ id: LiteGraph.uuidv4(), name: free(side, name), type: kind, linkIds: [], pos: [0, 0] }) - 1
    known[side].set(key, index)
    return index
  }
  const box = {
    said,
    node,
    graph,
    nameOf: index => slots.outputs[index].name,
    /** An input of the box; with a value if it goes into a widget, which the box then has too. */
    input(key, name, kind, value) {
      if (known.inputs.has(key)) return { index: known.inputs.get(key), isNew: false }
      const index = add('inputs', key, name, kind)
      const shown = slots.inputs[index].name
      node.inputs.push({ name: shown, type: kind, ...(value === undefined ? {} : { widget: { name: shown } }), link: null })
      if (value !== undefined) node.widgets_values.push(value)
      return { index, isNew: true }
    },
    output({ node: inner, content }, slot, kind, name) {
      const key = `${inner.id} ${slot}`
      if (known.outputs.has(key)) return known.outputs.get(key)
      const { title, phase } = content._meta
      const called = /^Primitive/.test(content.class_type) ? title : (NAMES[kind] ?? name)
      const clear = slots.outputs.some(one => one.name === called.toLowerCase()) ? `${phase} ${called}` : called
      const index = add('outputs', key, clear.toLowerCase(), kind)
      node.outputs.push({ name: slots.outputs[index].name, type: kind, links: [] })
      link(graph, numbers, inner.id, slot, OUTPUTS, index, kind)
      inner.outputs[slot].links.push(graph.links.at(-1).id)
      return index
    },
    /** Adds an input to which nothing is linked yet. */
    open({ node: inner, slot }, name) {
      const at = slot(name)
      const { index } = box.input(`open ${inner.id} ${name}`, name, inner.inputs[at].type)
      inner.inputs[at].link = link(graph, numbers, INPUTS_OF_SUBGRAPH, index, inner.id, at, inner.inputs[at].type).id
    },
    show({ name, value, to }, made) {
      const targets = to.map(([id, input]) => ({ inner: made.get(id).node, at: made.get(id).slot(input) })).filter(({ at }) => at >= 0)
      if (!targets.length) return
      const kind = targets[0].inner.inputs[targets[0].at].type
      const { index } = box.input(`field ${name}`, name, kind, value)
      for (const { inner, at } of targets) inner.inputs[at].link = link(graph, numbers, INPUTS_OF_SUBGRAPH, index, inner.id, at, kind).id
    },
    finish() {
      const lines = node.widgets_values.map(value => (typeof value === 'string' ? 100 : 28)).reduce((sum, one) => sum + one, 0)
      const sockets = Math.max(node.inputs.filter(input => !input.widget).length, node.outputs.length)
      node.size = [340, 60 + 20 * sockets + lines]
      return node
    },
    definition() {
      for (const { id, origin_id, origin_slot, target_id, target_slot } of graph.links) {
        if (origin_id === INPUTS_OF_SUBGRAPH) slots.inputs[origin_slot].linkIds.push(id)
        if (target_id === OUTPUTS) slots.outputs[target_slot].linkIds.push(id)
      }
      const right = Math.max(0, ...graph.nodes.map(one => one.pos[0] + one.size[0]))
      return {
        id: type,
        version: 1,
        state: { lastGroupId: 0, lastNodeId: numbers.node, lastLinkId: numbers.link, lastRerouteId: 0 },
        revision: 0,
        config: {},
        name: title,
        inputNode: { id: INPUTS_OF_SUBGRAPH, bounding: [-260, 40, 120, 40] },
        outputNode: { id: OUTPUTS, bounding: [right + 120, 40, 120, 40] },
        ...slots,
        widgets: [],
        ...graph,
        extra: {},
      }
    },
  }
  return box
}

const next = name => (/ \d+$/.test(name) ? name.replace(/\d+$/, number => Number(number) + 1) : `${name} 2`)

const titleOf = ({ kind, title }) => (kind === 'settings' ? t('Models and settings') : title)

/** The box beside which a node stands, by its property. */
function besideOf(canvas, id) {
  const box = canvas.boxes.find(one => one.beside.includes(id))
  return box ? `${box.kind} ${box.id}` : ''
}

function titleFiles(beside) {
  for (const [{ title }, nodes] of beside) for (const node of nodes) node.title = `${node.title ?? node.type}: ${title}`
}

/** Where the canvas looks: at everything if that stays readable, otherwise at the first scenes. */
function viewOf(groups, { width, height, left }) {
  const [right, bottom] = [0, 1].map(side => Math.max(...groups.map(group => group.bounding[side] + group.bounding[side + 2])))
  const fit = Math.min((width - left) / (right + 80), height / (bottom + 120))
  const scale = Math.min(1, Math.max(0.65, fit))
  return { scale, offset: [left / scale + 100, 160] }
}
