/** The nodes on the canvas that say how a film is finished: its own widgets, and what is linked to it for that. */
import { addNode } from './add.mjs'
import { readMasters, setMasters } from './masters.mjs'
import { choose } from './voice.mjs'
import { asOneStep } from './undo.mjs'
import { inputSlot, pathTo, putValue } from './widgets.mjs'

/** What can be linked to a Film, by its input: the node that sets it, and whether it then sets anything. */
const HELPERS = {
  delivery: {
    type: 'StoryStudio_FilmDelivery',
    isIdle: ({ format, width, fps, fit, codec }) => format === 'as rendered' && !width && fps === 'as rendered' && fit === 'letterbox' && codec === 'h264',
  },
  cards: { type: 'StoryStudio_FilmCards', isIdle: ({ opening, credits, fade_seconds: fade }) => !opening && !credits && !fade },
  sound: { type: 'StoryStudio_FilmSound', isIdle: ({ normalize }, hasMusic) => !normalize && !hasMusic },
  burned_captions: { type: 'StoryStudio_BurnedCaptions', isIdle: ({ style }) => !style },
}
const GAP = 40
const AS_RENDERED = 'as rendered'
/** Width and height by the format of a Film Delivery, as `story/formats.py` has them. */
export const SIZES = {
  'landscape 720p': [1280, 720],
  'landscape 1080p': [1920, 1080],
  'landscape 4K': [3840, 2160],
  'portrait 1080x1920': [1080, 1920],
  'square 1080': [1080, 1080],
}

/**
 * How the film of a Film node is finished.
 *
 * @returns null without such a node; else the values of its widgets as `film`, and those of its helpers by their
 *   inputs, or null; `masters`, see `readMasters`; `music`, the name of its file, or null; and `isSet(on, name)`: whether
 *   a value comes from elsewhere, so that it can be set only there.
 */
export function readFinish({ app, model }, id) {
  const film = pathTo(app, id).at(-1)
  if (!film) return null
  const nodes = { film, ...Object.fromEntries(Object.keys(HELPERS).map(on => [on, helperOf(film, on)])) }
  const found = Object.fromEntries(Object.entries(nodes).map(([on, node]) => [on, node && valuesOf(node)]))
  const loader = musicOf(nodes.sound)
  const masters = readMasters(app, model.prompt, id)
  return {
    ...found,
    masters,
    music: loader ? (loader.widgets?.find(one => one.name === 'audio')?.value ?? loader.title) : null,
    isSet: (on, name) => (on === 'masters' ? masters.isOwn : nodes[on] ? isLinked(nodes[on], name) : on !== 'film' && isLinked(film, on)),
  }
}

/** Sets widgets of a Film, of its helper `on` or of its masters, which come and go as they are needed, in one undo step. */
export function setFinish({ app, model }, id, on, values) {
  change(app, id, film => {
    const masters = readMasters(app, model.prompt, id)
    if (on === 'masters') Object.assign(masters, values)
    else setHelper(app, film, on, values)
    if (!['masters', 'delivery'].includes(on)) return
    const nameOf = scene => model.prompt[model.scenes.find(one => one.joins?.film === scene)?.clip]?.inputs.name
    setMasters(app, model.prompt, id, masters, sizeOf(helperOf(film, 'delivery')), nameOf)
  })
}

function setHelper(app, film, on, values) {
  const node = on === 'film' ? film : (helperOf(film, on) ?? addHelper(film, on))
  for (const [name, value] of Object.entries(values)) putValue(app, node.widgets.find(one => one.name === name), value)
  removeIdle(film, on)
}

/** The size and rate of a Film Delivery, or of none; 0 for the size of the clips. */
function sizeOf(delivery) {
  const { format = AS_RENDERED, width = 0, height = 0, fps = AS_RENDERED } = delivery ? valuesOf(delivery) : {}
  const [wide, high] = width ? [width, height] : (SIZES[format] ?? [0, 0])
  return { width: wide, height: high, fps }
}

const valuesOf = node => Object.fromEntries((node.widgets ?? []).map(widget => [widget.name, widget.value]))

/** Plays a file of the input folder below the film, in one undo step; without a file, none. */
export function setMusic(app, id, file) {
  change(app, id, film => {
    const sound = helperOf(film, 'sound') ?? addHelper(film, 'sound', { normalize: false })
    const loader = musicOf(sound)
    if (file && loader?.type === 'LoadAudio') return choose(loader.widgets.find(one => one.name === 'audio'), file)
    const slot = inputSlot(sound, 'music')
    sound.disconnectInput(slot)
    if (loader && !loader.outputs.some(output => output.links?.length)) film.graph.remove(loader)
    if (file) {
      const added = addNode(film.graph, 'LoadAudio', sound.pos[0] + sound.size[0] + GAP, sound.pos[1])
      choose(added.widgets.find(one => one.name === 'audio'), file)
      added.connect(0, sound, slot)
    }
    removeIdle(film, 'sound')
  })
}

function change(app, id, act) {
  const film = pathTo(app, id).at(-1)
  return film && asOneStep(app, () => act(film))
}

function linkedTo(node, name) {
  const link = node?.graph.getLink(node.inputs?.find(slot => slot.name === name)?.link)
  return link ? node.graph.getNodeById(link.origin_id) : null
}

/** The helper that is linked to a film, if it is one of ours. */
function helperOf(film, on) {
  const node = linkedTo(film, on)
  return node?.type === HELPERS[on].type ? node : null
}

const musicOf = sound => linkedTo(sound, 'music')
const isLinked = (node, name) => node.inputs?.find(slot => slot.name === name)?.link != null

function addHelper(film, on, values = {}) {
  const node = addNode(film.graph, HELPERS[on].type, film.pos[0] + film.size[0] + 2 * GAP, film.pos[1])
  for (const [name, value] of Object.entries(values)) node.widgets.find(one => one.name === name).value = value
  node.connect(0, film, inputSlot(film, on))
  return node
}

function removeIdle(film, on) {
  const node = on === 'film' ? null : helperOf(film, on)
  if (!node) return
  if (HELPERS[on].isIdle(valuesOf(node), !!musicOf(node))) film.graph.remove(node)
}
