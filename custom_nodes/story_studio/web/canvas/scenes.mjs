/** Changes to the scenes on the canvas: their nodes, the chains between them, and their places. */
import { CIRCLE } from '../shared/nodes.mjs'
import { t } from '../shared/words.mjs'
import { addNode } from './add.mjs'
import { arrange, copyGroup, spotsOf, stemOf } from './arrange.mjs'
import { rewire, sequencesOf } from './chain.mjs'
import { copyNodes, forgetTakes, twinOf } from './copy.mjs'
import { CHAINS, unitsOf } from './units.mjs'
import { asOneStep } from './undo.mjs'
import { inputSlot, pathTo, putValue, widgetOf } from './widgets.mjs'

const FIELDS = ['title', 'prompt', 'text', 'movement']
/** What no file is called, so that ComfyUI says that the recording is missing. */
const NO_RECORDING = 'choose your recording'

/** The scenes in the film and their nodes, as every change here needs them. */
function read(app, { scenes }) {
  if (scenes.some(scene => scene.circle)) throw new Error(t(CIRCLE))
  const { graph, units } = unitsOf(app, scenes)
  const order = scenes.filter(scene => scene.in_film).map(scene => units.get(scene.id))
  return { graph, units, order, spots: spotsOf(graph, order) }
}

/** Moves a scene of the film to another number, counted from 0. */
export async function moveScene(app, model, id, to) {
  const { graph, units, order, spots } = read(app, model)
  const after = order.filter(unit => unit.id !== id)
  after.splice(to, 0, units.get(id))
  check(model, after)
  await asOneStep(app, () => change(graph, spots, order, after))
}

/** Removes a scene with the nodes that are only its own. */
export async function removeScene(app, model, id) {
  const { graph, units, order, spots } = read(app, model)
  const unit = units.get(id)
  const after = order.filter(one => one !== unit)
  check(model, [unit])
  await asOneStep(app, () => {
    const { group } = spotsOf(graph, [unit])[0]
    if (order.includes(unit)) change(graph, spots, order, after)
    for (const node of unit.nodes) graph.remove(node)
    if (group) graph.remove(group)
  })
}

/**
 * Copies a scene; the copy comes after it, or last.
 *
 * @param words the copy's own, by the names of fields; the others stay as they are.
 * @param isNew whether the copy is the last scene, with a recording of its own that is yet to be chosen.
 * @returns the copy's nodes.
 */
export async function copyScene(app, model, id, words, isNew) {
  const { graph, units, order, spots } = read(app, model)
  const unit = units.get(id)
  const scene = model.scenes.find(one => one.id === id)
  check(model, [unit])
  return asOneStep(app, () => {
    const copies = copyNodes(app, graph, unit.nodes)
    const nodes = [...copies.values()]
    const path = pathTo(app, scene.still ?? scene.clip)
    forgetTakes(nodes, path.slice(0, path.findIndex(node => node.graph === graph)))
    for (const name of FIELDS) if (name in words) for (const { path, input } of inputsOf(app, scene, name)) setTwin(app, path, input, copies, words[name])
    if (isNew && scene.voice) setTwin(app, pathTo(app, scene.voice), 'audio', copies, NO_RECORDING)
    for (const node of nodes) if (!node.subgraph && /Audio$/.test(node.type)) node.title = node.title?.replace(/\d+/, model.scenes.length + 1)
    const twin = { id: null, from: unit, nodes, ...Object.fromEntries(CHAINS.map(name => [name, unit[name] && { ...unit[name], node: copies.get(unit[name].node) }])) }
    const after = isNew ? [...order, twin] : order.flatMap(one => (one === unit ? [one, twin] : [one]))
    if (order.includes(unit)) change(graph, spots, order, after)
    else setApart(twin)
    retitle([...nodes, namedGroup(graph, twin.group)], scene.name, words.title)
    return nodes
  })
}

/** Nodes, boxes and groups that are named after a scene are named as it is now. */
function retitle(items, before, now) {
  for (const item of items) {
    if (!before || !item?.title) continue
    if (item.title === before) item.title = now
    else if (item.title.endsWith(`: ${before}`)) item.title = item.title.slice(0, -before.length) + now
  }
}

/** A group, unless it is one of several that are numbered by their places. */
const namedGroup = (graph, group) => (group && graph.groups.some(one => one !== group && stemOf(one) && stemOf(one) === stemOf(group)) ? null : group)

/** Names what is named after a scene on the canvas as its title was changed. */
export function followTitle(app, model, id, before, now) {
  const { graph, units } = unitsOf(app, model.scenes)
  const unit = units.get(id)
  retitle([...unit.nodes, namedGroup(graph, spotsOf(graph, [unit])[0].group)], before, now)
}

/** Adds a scene that is on the canvas to the end of the film. */
export async function appendScene(app, model, id) {
  const { graph, units, order } = read(app, model)
  const unit = units.get(id)
  check(model, [unit])
  await asOneStep(app, () => {
    unit.film ??= addJoin(app, graph, model.scenes.find(one => one.id === id), unit)
    for (const name of CHAINS) if (unit[name]) link(app, graph, model, name, order, unit[name])
  })
}

/** Where a scene's words are typed: the widget that is shown, and the inputs on the way that repeat it. */
export function inputsOf(app, scene, name) {
  const field = scene.fields?.[name]
  if (!field) return []
  const inputs = [field, ...field.also].map(({ id, input }) => ({ path: pathTo(app, id), input }))
  const value = widgetOf(inputs[0].path, inputs[0].input)?.value
  return inputs.filter(({ path, input }) => widgetOf(path, input)?.value === value)
}

function check(model, units) {
  const shared = units.find(unit => !unit.nodes.length)
  const name = shared && model.scenes.find(scene => scene.id === shared.id)?.name
  if (shared) throw new Error(t('{} shares its box with other scenes, so it can only be changed on the canvas.', name))
}

/** Links and places the scenes of a film in another order. */
function change(graph, spots, before, after) {
  for (const name of CHAINS) {
    const place = new Map(after.map((unit, index) => [unit[name]?.node, index]))
    const added = after.filter(unit => !before.includes(unit) && unit[name])
    for (const sequence of sequencesOf(graph, before.map(unit => unit[name]).filter(Boolean))) {
      const within = new Set(sequence.map(one => one.node))
      const wanted = after.filter(unit => within.has(unit[name]?.node)).map(unit => unit[name])
      // A new scene joins the chain of the one that it follows.
      for (const unit of added) if (within.has(after[after.indexOf(unit) - 1][name]?.node)) wanted.push(unit[name])
      wanted.sort((one, other) => place.get(one.node) - place.get(other.node))
      if (!wanted.length) continue
      if (wanted.length !== sequence.length || wanted.some((one, index) => one !== sequence[index])) rewire(graph, sequence, wanted)
    }
  }
  place(graph, spots, after)
}

function place(graph, spots, after) {
  const known = new Map(spots.map(spot => [spot.unit, spot]))
  const wanted = after.map(unit => {
    if (known.has(unit)) return known.get(unit)
    // A copy lies on what it was copied from.
    const { group, box } = known.get(unit.from)
    unit.group = group && copyGroup(graph, group)
    return { unit, group: unit.group, box: [...box] }
  })
  arrange(graph, spots.map(spot => ({ ...spot, box: [...spot.box] })), wanted)
}

/** A copy of a scene that is not in the film is not in it either, and lies beside what it was copied from. */
function setApart(twin) {
  for (const name of CHAINS) if (twin[name]) twin[name].node.disconnectInput(twin[name].entry)
  for (const node of twin.nodes) node.pos = [node.pos[0] + 60, node.pos[1] + 60]
}

function setTwin(app, path, input, copies, value) {
  const twin = twinOf(path, copies)
  const widget = twin && widgetOf(twin, input)
  if (widget) putValue(app, widget, value)
}

/** A Film Scene for a clip that has none. */
function addJoin(app, graph, scene, unit) {
  const path = pathTo(app, scene.clip)
  const clip = path.at(-1)
  if (clip.graph !== graph) throw new Error(t('{} has no film output: open its box and add a Film Scene.', scene.name))
  const node = addNode(graph, 'StoryStudio_FilmScene', clip.pos[0] + clip.size[0] + 40, clip.pos[1])
  clip.connect(0, node, inputSlot(node, 'clip'))
  node.widgets.find(widget => widget.name === 'title').value = scene.name
  unit.nodes.push(node)
  return { node, entry: inputSlot(node, 'film'), exit: 0 }
}

/** Links a place to the end of the film's chain, or to the film itself if it has no scene yet. */
function link(app, graph, model, name, order, own) {
  const last = order.findLast(unit => unit[name])?.[name]
  const sequences = last ? sequencesOf(graph, order.map(unit => unit[name]).filter(Boolean)) : [[]]
  const sequence = sequences.find(one => !last || one.at(-1).node === last.node) ?? sequences.at(-1)
  const end = name === 'film' ? 'StoryStudio_Film' : 'StoryStudio_ContactSheet'
  const reader = graph.nodes.find(node => node.type === end)
  rewire(graph, sequence, [...sequence, own], reader ? [{ node: reader, slot: inputSlot(reader, name) }] : [])
}
