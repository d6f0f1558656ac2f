/**
 * How clips are changed for a film: a Master between each clip and its Film Scene, and before it the nodes that make
 * its frames with models. The same nodes as in the driver's graph, so that the results are the same.
 */
import { addNode } from './add.mjs'
import { BORDERS } from './units.mjs'
import { inputSlot, pathTo, putValue, widgetOf } from './widgets.mjs'

const FILM_SCENE = 'StoryStudio_FilmScene'
const MASTER = 'StoryStudio_Master'
const CLIP_FRAMES = 'StoryStudio_ClipFrames'
const AS_RENDERED = 'as rendered'
/** What a model can do: the node that does it, its inputs for frames and model, and the node that loads that. */
const WAYS = {
  interpolation: { type: 'FrameInterpolate', frames: 'images', model: 'interp_model', loader: 'FrameInterpolationModelLoader' },
  upscale: { type: 'ImageUpscaleWithModel', frames: 'image', model: 'upscale_model', loader: 'UpscaleModelLoader' },
}
const KEPT = { interpolation: 'repeat', upscale: '', match_color: false }
/** Stands before the name of a model where there are other choices too. */
export const MODEL = 'model: '

/** The models that ComfyUI has for `interpolation` or `upscale`; null if it has no nodes for it. */
export function modelsFor(way) {
  const { type, loader } = WAYS[way]
  const values = LiteGraph.registered_node_types[type] && LiteGraph.createNode(loader)?.widgets?.find(one => one.name === 'model_name')?.options.values
  return typeof values === 'function' ? values() : (values ?? null)
}

/**
 * How the clips of a film are changed, by its first scene.
 *
 * @param prompt the graph as an API workflow, which says which scenes the film has.
 * @param film the id of the Film.
 * @returns `interpolation`, `repeat`, `blend`, `motion` or `model: ` with its name; `upscale`, the name of a model
 *   or nothing; `match_color`; and `isOwn`: whether nodes of the artist's own do something else.
 */
export function readMasters(app, prompt, film) {
  const found = placesOf(app, prompt, film)
  const first = found[0]?.master
  const named = way => valueOf(first[way]?.loader, 'model_name') ?? ''
  const isOwn = found.some(({ master }) => master?.isOwn)
  if (!first || isOwn) return { ...KEPT, isOwn }
  const interpolation = first.interpolation ? MODEL + named('interpolation') : valueOf(first.path, 'interpolation')
  return { interpolation, upscale: named('upscale'), match_color: valueOf(first.path, 'match_color'), isOwn }
}

/**
 * Puts Masters between the clips of a film and its Film Scenes, or changes or removes those that are there.
 *
 * @param wanted as `readMasters` returns it.
 * @param delivery of the film: `width` and `height`, 0 for those of the clips; and `fps`.
 * @param nameOf the name of the master of a Film Scene, by its id.
 */
export function setMasters(app, prompt, film, wanted, { width, height, fps }, nameOf) {
  if (wanted.isOwn) return
  const isTimed = fps !== AS_RENDERED
  const byModel = isTimed && wanted.interpolation.startsWith(MODEL) ? wanted.interpolation.slice(MODEL.length) : ''
  // At the rate of the clips it has no effect; the driver's graph has this then.
  const onCpu = !isTimed || wanted.interpolation.startsWith(MODEL) ? 'motion' : wanted.interpolation
  const models = { interpolation: byModel, upscale: wanted.upscale }
  const isNeeded = wanted.match_color || wanted.upscale || (isTimed && wanted.interpolation !== 'repeat')
  const ofMaster = { width, height, fps, interpolation: onCpu, match_color: wanted.match_color }
  const ofFrames = { fps, interpolation: byModel || !isTimed ? 'recipe' : onCpu }
  for (const { scene, id, master } of placesOf(app, prompt, film)) {
    const isSame = master && Object.keys(WAYS).every(way => !master[way] === !models[way])
    if (!isNeeded || !isSame) {
      if (master) remove(scene, master)
      if (isNeeded) add(scene, models, nameOf(id))
    }
    const now = isNeeded && masterOf(pathTo(app, id))
    if (!now) continue
    setValues(app, now.path, ofMaster)
    if (now.frames) setValues(app, now.frames, ofFrames)
    for (const way of Object.keys(WAYS)) if (now[way]) setValues(app, now[way].loader, { model_name: models[way] })
  }
}

/** The Film Scenes of a film, in order, each once: `scene`, its node; `id`; and `master`, as `masterOf` finds it. */
function placesOf(app, prompt, film) {
  const found = new Map()
  const seen = new Set()
  for (let link = prompt[film]?.inputs.film; prompt[link?.[0]]?.class_type === FILM_SCENE && !seen.has(link[0]); link = prompt[link[0]].inputs.film) {
    seen.add(link[0])
    const path = pathTo(app, link[0])
    const scene = path.at(-1)
    // Boxes may share what is in them.
    if (scene) found.set(scene, { scene, id: link[0], master: masterOf(path) })
  }
  return [...found.values()].reverse()
}

/**
 * The Master before a Film Scene, with the paths to its nodes.
 *
 * @returns null without one; else `path`, to it; `frames`, to the Clip Frames before it, or null; for each of WAYS
 *   `{path, loader}` or null; and `isOwn`, whether there is something else.
 */
function masterOf(path) {
  const master = originOf(path, 'clip')
  if (master?.at(-1).type !== MASTER) return null
  const found = { path: master, frames: null, isOwn: master.at(-1).graph !== path.at(-1).graph, ...Object.fromEntries(Object.keys(WAYS).map(way => [way, null])) }
  for (let [at, input] = [master, 'frames']; (at = originOf(at, input)); ) {
    const { type, graph } = at.at(-1)
    const way = Object.keys(WAYS).find(one => WAYS[one].type === type)
    if (graph !== master.at(-1).graph) found.isOwn = true
    if (type === CLIP_FRAMES) return { ...found, frames: at }
    const loader = way && originOf(at, WAYS[way].model)
    if (!way || found[way] || loader?.at(-1).type !== WAYS[way].loader) return { ...found, isOwn: true }
    found[way] = { path: at, loader }
    input = WAYS[way].frames
  }
  return found
}

/** The path to the node that an input is linked to, out of boxes and into them; null without one. */
function originOf(path, name) {
  const node = path.at(-1)
  let link = node?.graph.getLink(node.inputs?.find(slot => slot.name === name)?.link)
  if (!link) return null
  if (Number(link.origin_id) === BORDERS[0]) return originOf(path.slice(0, -1), path.at(-2)?.inputs[link.origin_slot]?.name)
  const found = [...path.slice(0, -1), node.graph.getNodeById(link.origin_id)]
  while (found.at(-1)?.subgraph) {
    const { subgraph } = found.at(-1)
    link = subgraph.getLink(subgraph.outputs[link.origin_slot]?.linkIds[0])
    found.push(link && subgraph.getNodeById(link.origin_id))
  }
  return found.at(-1) ? found : null
}

function add(scene, models, name) {
  const { graph } = scene
  const at = [scene.pos[0], scene.pos[1] + scene.size[1] + 80]
  const slot = inputSlot(scene, 'clip')
  const master = addNode(graph, MASTER, ...at)
  if (name) master.widgets.find(one => one.name === 'name').value = name
  relink(graph, scene, slot, master)
  const used = Object.keys(WAYS).filter(way => models[way])
  if (used.length) {
    let last = addNode(graph, CLIP_FRAMES, ...at)
    relink(graph, master, inputSlot(master, 'clip'), last)
    const frames = last
    for (const way of used) {
      const { type, frames: input, model, loader } = WAYS[way]
      const node = addNode(graph, type, ...at)
      const load = graph.nodes.find(one => one.type === loader && !one.inputs?.some(entry => entry.link != null)) ?? addNode(graph, loader, ...at)
      last.connect(0, node, inputSlot(node, input))
      load.connect(0, node, inputSlot(node, model))
      if (way === 'interpolation') frames.connect(2, node, inputSlot(node, 'multiplier'))
      last = node
    }
    last.connect(0, master, inputSlot(master, 'frames'))
  }
  master.connect(0, scene, slot)
}

/** Links what an input is linked to with the `clip` of another node. */
function relink(graph, from, slot, to) {
  const link = graph.getLink(from.inputs[slot].link)
  if (!link) return
  const entry = inputSlot(to, 'clip')
  if (Number(link.origin_id) === BORDERS[0]) graph.inputs[link.origin_slot].connect(to.inputs[entry], to)
  else graph.getNodeById(link.origin_id).connect(link.origin_slot, to, entry)
}

/** Removes a Master and the nodes that only it needs, and links its clip with the Film Scene. */
function remove(scene, master) {
  const { graph } = scene
  const node = master.path.at(-1)
  scene.disconnectInput(inputSlot(scene, 'clip'))
  relink(graph, node, inputSlot(node, 'clip'), scene)
  const ways = Object.keys(WAYS).map(way => master[way]).filter(Boolean)
  const borders = ways.flatMap(({ path }) => path.at(-1).inputs.map(one => graph.getLink(one.link)).filter(link => Number(link?.origin_id) === BORDERS[0]).map(link => graph.inputs[link.origin_slot]))
  for (const one of [node, ...ways.map(way => way.path.at(-1)), master.frames?.at(-1)].filter(Boolean)) graph.remove(one)
  for (const { loader } of ways) {
    const load = loader.at(-1)
    if (load.graph === graph && !load.outputs[0].links?.length) graph.remove(load)
  }
  // What came from outside of the box for them.
  for (const input of new Set(borders)) if (!input.linkIds.length) graph.removeInput(input)
}

const valueOf = (path, name) => path && widgetOf(path, name)?.value

function setValues(app, path, values) {
  for (const [name, value] of Object.entries(values)) {
    const widget = widgetOf(path, name)
    if (widget && widget.value !== value) putValue(app, widget, value)
  }
}
