/** How the film is finished: transitions, sound and music, captions, delivery, and cards. */
import { readFinish, setFinish, setMusic, SIZES } from '../canvas/finishing.mjs'
import { MODEL, modelsFor } from '../canvas/masters.mjs'
import { h, set, whileBusy } from '../shared/dom.mjs'
import { remembered } from '../shared/folds.mjs'
import { t } from '../shared/words.mjs'
import { openWorkflow } from '../shared/workflow.mjs'
import { offer, uploadOne } from '../story/upload.mjs'
import { createField } from './field.mjs'
import { filmTitle } from './film.mjs'

const AS_RENDERED = 'as rendered'
const FORMATS = [AS_RENDERED, ...Object.keys(SIZES)]
const seconds = (label, on, name, max, when) => ({ label, on, name, number: { min: 0, max, step: 0.1 }, when })
const isJoined = ({ film }) => film.join !== 'cut'
const hasMusic = ({ music }) => music !== null
const isTimed = ({ delivery }) => (delivery?.fps ?? AS_RENDERED) !== AS_RENDERED
const hasCard = ({ cards }) => Boolean(cards?.opening || cards?.credits)

/** The fields by their group; each is a widget `name` of the Film, of its helper `on` or of its masters. */
const GROUPS = [
  [
    'Transitions',
    { label: 'Between scenes', on: 'film', name: 'join', choices: [['cut', 'Cut'], ['crossfade', 'Crossfade'], ['dip', 'Through black']] },
    { ...seconds('Seconds of a transition', 'film', 'crossfade_seconds', 3, isJoined), number: { min: 0.1, max: 3, step: 0.1 } },
    seconds('Seconds between scenes', 'film', 'pause_after', 10),
  ],
  [
    'Sound',
    {
      label: 'Loudness',
      on: 'sound',
      name: 'loudness',
      choices: [['', 'as recorded'], ['-14', '−14 LUFS (web and music)'], ['-16', '−16 LUFS (speech)'], ['-23', '−23 LUFS (television)']],
      from: sound => (sound?.normalize ? String(sound.loudness) : ''),
      to: value => (value ? { normalize: true, loudness: Number(value) } : { normalize: false }),
    },
    { label: 'Level of the music in dB', on: 'sound', name: 'music_level', number: { min: -60, max: 12, step: 1 }, when: hasMusic },
    seconds('Fade of the music (s)', 'sound', 'music_fade', 30, hasMusic),
    { label: 'Lower the music under speech', on: 'sound', name: 'duck', check: true, when: hasMusic },
    { label: 'Room tone in pauses', on: 'sound', name: 'room_tone', check: true, when: ({ sound }) => sound !== null },
  ],
  [
    'Captions',
    { label: 'For the player', on: 'film', name: 'captions', check: true },
    {
      label: 'In the frames',
      on: 'burned_captions',
      name: 'style',
      choices: [['', 'none'], ['clean', 'Clean'], ['boxed', 'Boxed'], ['words', 'Spoken word highlighted']],
      from: captions => captions?.style ?? '',
    },
    {
      label: 'Place',
      on: 'burned_captions',
      name: 'position',
      choices: [['bottom', 'Bottom'], ['middle', 'Middle'], ['top', 'Top']],
      when: finish => finish.burned_captions !== null,
    },
  ],
  [
    'Delivery',
    { label: 'Format', on: 'delivery', name: 'format', choices: FORMATS.map(name => [name, name]), from: delivery => delivery?.format ?? AS_RENDERED },
    { label: 'Frames a second', on: 'delivery', name: 'fps', choices: [AS_RENDERED, '24', '25', '30'].map(name => [name, name]), from: delivery => delivery?.fps ?? AS_RENDERED },
    {
      label: 'Frame interpolation',
      on: 'masters',
      name: 'interpolation',
      choices: () => [['repeat', 'none, frames repeat'], ['blend', 'Blending'], ['motion', 'Motion compensation'], ...byModel('interpolation').map(name => [MODEL + name, name])],
      when: isTimed,
    },
    { label: 'Upscaling', on: 'masters', name: 'upscale', choices: () => [['', 'Lanczos, no model'], ...byModel('upscale').map(name => [name, name])] },
    { label: 'Correct colour drift', on: 'masters', name: 'match_color', check: true },
    { label: 'Fill around the video', on: 'delivery', name: 'fit', choices: [['letterbox', 'Black'], ['blur', 'Blurred']], from: delivery => delivery?.fit ?? 'letterbox' },
    { label: 'Codec', on: 'delivery', name: 'codec', choices: [['h264', 'H.264'], ['h265', 'H.265'], ['av1', 'AV1']], from: delivery => delivery?.codec ?? 'h264' },
  ],
  [
    'Title and credits',
    { label: 'Opening title', on: 'cards', name: 'opening', text: 'line' },
    { label: 'Credits', on: 'cards', name: 'credits', text: 'lines' },
    seconds('Seconds of a card', 'cards', 'card_seconds', 30, hasCard),
    seconds('Fade from and to black', 'cards', 'fade_seconds', 5),
  ],
]

/** The models that ComfyUI has when the panel is opened. */
const byModel = way => modelsFor(way) ?? []

export function createFinishing(studio) {
  const { model } = studio
  const choice = createChoice(studio, () => paint())
  const change = (field, value) => {
    // The panel may still show the workflow before.
    if (!studio.isShown()) return
    setFinish(studio, choice.film(), field.on, field.to?.(value) ?? { [field.name]: value })
    studio.refreshSoon()
  }
  const fields = []
  const music = createMusic(studio, choice.film)
  const groups = GROUPS.map(([title, ...all]) => {
    const made = all.map(field => createField(field, change))
    fields.push(...made)
    if (title === 'Sound') made.splice(1, 0, music)
    return h('fieldset', {}, h('legend', { textContent: t(title) }), ...made.map(field => field.element))
  })
  const summary = h('summary', { textContent: t('Finishing of the film') })
  const element = remembered(h('details', { className: 'finishing' }, summary, choice.element, ...groups), 'finishing')

  function paint() {
    choice.paint()
    const finish = model.films.length ? readFinish(studio, choice.film()) : null
    set(element, { hidden: !finish })
    if (finish) for (const field of [...fields, music]) field.paint(finish)
  }

  return { element, paint }
}

/** Which film is finished, where there are several; `film()` is its id. */
function createChoice(studio, changed) {
  const { model } = studio
  const select = h('select', { onchange: () => ((chosen = select.value), changed()), aria: { label: t('Film') } })
  const element = h('label', { className: 'field' }, h('span', { textContent: t('Film') }), select)
  let chosen = ''
  let listed = ''
  const film = () => (model.films.includes(chosen) ? chosen : model.films[0])
  return {
    element,
    film,
    paint() {
      set(element, { hidden: model.films.length < 2 })
      const films = model.films.map(id => [id, filmTitle(studio, id)])
      if (listed !== JSON.stringify(films)) {
        listed = JSON.stringify(films)
        select.replaceChildren(...films.map(([value, textContent]) => h('option', { value, textContent })))
      }
      set(select, { value: film() ?? '' })
    },
  }
}

/** The choice of the music: a file of this computer. */
function createMusic(studio, film) {
  const { app, model } = studio
  const name = h('span', { className: 'file' })
  const picker = h('input', { type: 'file', accept: 'audio/*,video/*', hidden: true, onchange: () => picker.files[0] && whileBusy(choose, () => use(picker.files[0])) })
  const choose = h('button', { type: 'button', textContent: t('Choose…'), onclick: () => choose.ariaBusy || (set(picker, { value: '' }), picker.click()), aria: { label: t('Choose the music') } })
  const drop = h('button', { type: 'button', textContent: t('Remove'), onclick: () => change(null), aria: { label: t('Remove the music') } })

  function change(file, id = film()) {
    if (!studio.isShown()) return
    setMusic(app, id, file)
    studio.refreshSoon()
  }

  async function use(file) {
    const { workflow } = model
    const id = film()
    try {
      const uploaded = await uploadOne(app, file)
      offer([uploaded])
      if (openWorkflow(app) !== workflow) throw new Error(t('{} is in the input folder, but another workflow is open now: choose it there.', uploaded))
      change(uploaded, id)
    } catch (error) {
      studio.toast('error', error.message)
    }
  }

  return {
    element: h('div', { className: 'field', role: 'group', aria: { label: t('Music') } }, h('span', { textContent: t('Music') }), name, choose, drop, picker),
    paint({ music }) {
      set(name, { textContent: music ?? t('none'), title: music ?? '' })
      set(drop, { hidden: music === null })
    },
  }
}
