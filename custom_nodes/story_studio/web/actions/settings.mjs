/** Settings and characters of the whole story: read from the canvas, and changed in one step of undo. */
import { setInputs } from '../canvas/inputs.mjs'
import { ask } from '../shared/server.mjs'
import { t } from '../shared/words.mjs'
import { root } from '../shared/workflow.mjs'
import { memoryOf, readStory, setMemory } from '../story/read.mjs'
import { rebuild } from '../story/rebuild.mjs'
import { noteCanvas } from '../story/unchanged.mjs'
import { wholeInTurn } from './turn.mjs'

/** Width and height of clips by resolution and format, as `story/formats.py` has them. */
const SHAPES = {
  '480p': { '16:9': '832x480', '9:16': '480x832', '1:1': '640x640', '4:5': '512x640' },
  '720p': { '16:9': '1280x720', '9:16': '720x1280', '1:1': '960x960', '4:5': '768x960' },
}
export const FORMATS = Object.keys(SHAPES['480p'])
export const RESOLUTIONS = Object.keys(SHAPES)
export const DRAFT = 'draft'
/** The profile of a draft that has never been anything else. */
const REAL = 'standard'

/** The characters that the canvas remembers, by their keys. */
export const charactersOf = studio => memoryOf(studio.app)?.given?.characters ?? {}

/** Whether all stills on the canvas are those of a draft. */
export function isDraft({ model }) {
  const classes = new Set(Object.values(model.prompt).map(node => node.class_type))
  return classes.has('StoryStudio_TitleCard') && !['StoryStudio_TalkingVideo', 'VAEDecode'].some(one => classes.has(one))
}

/** The profile to which a draft is switched: the last that it had. */
export function realProfile(studio) {
  return Object.keys(memoryOf(studio.app)?.profiles ?? {}).findLast(name => name !== DRAFT) ?? REAL
}

/** The values of the settings of the story on the canvas, by the names of the form; `fresh` as in `readStory`. */
export async function readSettings(studio, fresh) {
  return valuesOf((await readStory(studio, fresh)).data)
}

/** The characters of the story on the canvas; `fresh` as in `readStory`. */
export async function readCharacters(studio, fresh) {
  return structuredClone((await readStory(studio, fresh)).data.characters ?? {})
}

function valuesOf(data) {
  const { image_settings: image = {}, video_settings: video = {}, quality = {} } = data
  const [resolution, format] = sizeOf(data)
  return {
    profile: data.profile ?? REAL,
    format,
    resolution,
    still_steps: text(image.steps),
    clip_steps: text(video.sample_steps),
    loras: image.loras ?? [],
    style: data.style ?? '',
    seed: text(data.seed ?? 0),
    still_negative: image.negative_prompt ?? '',
    clip_negative: video.negative_prompt ?? '',
    retakes: text(quality.retakes ?? 0),
  }
}

const text = value => (value === undefined || value === null ? '' : String(value))

/** The resolution and the format of a story; a size of its own has none. */
function sizeOf({ format, video_settings: video }) {
  const resolution = video?.resolution ?? '480p'
  if (SHAPES[resolution]) return [resolution, format ?? FORMATS[0]]
  for (const [name, shapes] of Object.entries(SHAPES)) {
    const known = Object.keys(shapes).find(shape => shapes[shape] === resolution)
    if (known) return [name, known]
  }
  return [resolution, '']
}

/** What may stand on nodes of the canvas, by the names of the form. */
const ON_NODES = {
  format: 'size',
  resolution: 'size',
  still_steps: 'still_steps',
  clip_steps: 'clip_steps',
  still_negative: 'still_negative',
  clip_negative: 'clip_negative',
  style: 'style',
  seed: 'seed',
}

/**
 * Changes settings of the story on the canvas; what is empty is left to the profile. If all of them are values on its
 * nodes, only these are set; otherwise the canvas is made again.
 *
 * @param changed the values that are different now, by the names of the form.
 * @returns {Promise<boolean>} whether it was done; the user may not want it.
 * @throws {Error} everything that is wrong with the changed story.
 */
export const changeSettings = (studio, changed) =>
  wholeInTurn(studio, async () => {
    const settings = [...new Set(Object.keys(changed).map(name => ON_NODES[name]))]
    if (!settings.includes(undefined) && (await setOnNodes(studio, changed, settings))) return true
    return changeNow(studio, data => setValues(data, changed))
  })

/** Sets settings on the nodes of the canvas, in one undo step; whether all of them stand there. */
async function setOnNodes(studio, changed, settings) {
  const { app } = studio
  const checkCanvas = noteCanvas(app)
  const { data: story } = await readStory(studio)
  setValues(story, changed)
  if (settings.includes('seed') && story.scenes.every(scene => scene.seed !== undefined)) throw new Error(t('Each scene has a seed of its own: change it there.'))
  const prompt = (await app.graphToPrompt()).output
  const memory = memoryOf(app)
  const { values, then } = await ask(app, 'settings', { prompt, story, workflows: memory?.workflows ?? {}, settings })
  checkCanvas()
  const remember = () => memory && setMemory(root(app), { ...memory, given: story, then })
  if (!values || !(await setInputs(app, prompt, values, remember))) return false
  await studio.refresh()
  return true
}

/** Switches the story on the canvas to another profile, with the settings that it had there. */
export const switchProfile = (studio, profile) => change(studio, data => void (data.profile = profile))

/** Gives the story on the canvas these characters. */
export const changeCharacters = (studio, characters) =>
  change(studio, data => {
    if (Object.keys(characters).length) data.characters = characters
    else delete data.characters
  })

/** Puts the descriptions of characters where prompts on the canvas name them in braces. */
export const writeCharacters = studio => change(studio, () => undefined)

/** The warnings of the last change, which are not repeated after the next. */
let said = []

const change = (studio, change) => wholeInTurn(studio, () => changeNow(studio, change))

async function changeNow(studio, change) {
  const warnings = await rebuild(studio, change)
  if (!warnings) return false
  studio.toast('warn', warnings.filter(one => !said.includes(one)).join('\n'))
  said = warnings
  return true
}

function setValues(data, changed) {
  const put = (name, value, section) => {
    const home = section ? (data[section] ??= {}) : data
    if (value === '' || value === undefined || value?.length === 0) delete home[name]
    else home[name] = value
    if (section && !Object.keys(home).length) delete data[section]
  }
  const number = value => (value === '' ? '' : Number(value))
  const setters = {
    profile: value => put('profile', value),
    style: value => put('style', value),
    seed: value => put('seed', number(value)),
    still_steps: value => put('steps', number(value), 'image_settings'),
    clip_steps: value => put('sample_steps', number(value), 'video_settings'),
    loras: value => put('loras', value, 'image_settings'),
    still_negative: value => put('negative_prompt', value, 'image_settings'),
    clip_negative: value => put('negative_prompt', value, 'video_settings'),
    retakes: value => put('retakes', Number(value) || '', 'quality'),
  }
  if ('format' in changed || 'resolution' in changed) setSize(put, sizeOf(data), changed)
  for (const [name, value] of Object.entries(changed)) setters[name]?.(value)
}

/** Sets the size of clips; that of stills follows it. */
function setSize(put, [resolution, format], changed) {
  const wanted = (changed.resolution ?? resolution).replace(/\s+/g, '').replace('×', 'x')
  const isNamed = wanted in SHAPES
  const shape = changed.format ?? (isNamed ? format : '')
  for (const side of ['width', 'height']) put(side, '', 'image_settings')
  put('format', shape)
  put('resolution', isNamed || !shape || !('format' in changed) ? wanted : RESOLUTIONS[0], 'video_settings')
}

/** The names of the LoRAs that ComfyUI has; none if it does not say. */
export async function listLoras(studio) {
  try {
    const answer = await studio.app.api.fetchApi('/models/loras')
    return answer.ok ? await answer.json() : []
  } catch (error) {
    console.info(error.message)
    return []
  }
}

/** Says what went wrong with a change of the whole story. */
export const failure = error => t('Nothing was changed. {}', error.message)
