/** The voice on a scene's card: its recording with what is wrong with it, and the tools to change it. */
import { record, setPause, useCut, useFile, whyNoRecording } from '../actions/voice.mjs'
import { h, set } from '../shared/dom.mjs'
import { localized } from '../shared/sentences.mjs'
import { t } from '../shared/words.mjs'
import { exactClock, createWaveform } from './waveform.mjs'

/** Seconds that stay before the first and after the last word. */
const ROOM = 0.15

export function createVoice(id, studio) {
  const clip = () => studio.scene(id)?.clip
  const voice = () => studio.voices.of(clip())
  /** A button; one that is disabled would lose the focus while it is at work. */
  const button = (text, act, more = {}) => {
    const one = h('button', { type: 'button', textContent: t(text), onclick: () => one.ariaDisabled === 'true' || act(), ...more })
    return one
  }
  /** The last file that was chosen or dropped; the next one comes after it. */
  let last = Promise.resolve()
  let busy = ''
  let recording = null
  let isAsking = false
  let isGone = false
  let label = ''

  /** Works with the buttons disabled, and says at what. */
  async function working(text, work) {
    busy = text
    show()
    try {
      await work()
    } finally {
      busy = ''
      show()
    }
  }

  const player = createPlayer(studio, voice, () => waveform.part())
  const waveform = createWaveform(second => player.from(second), () => showPart())
  player.follow(waveform)
  const about = h('span', { className: 'about' })
  const faults = h('ul', { className: 'faults' })
  const state = h('span', { className: 'busy', role: 'status' })
  const picker = h('input', { type: 'file', accept: 'audio/*,video/*', hidden: true })
  picker.onchange = () => use(picker.files[0])
  const choose = button('Choose…', () => (set(picker, { value: '' }), picker.click()))
  const mic = button('Record', toggleRecording)
  const trim = button('Trim', () => selectPart(waveform.part() ? null : wordsOf(voice())))
  const words = button('To the words', () => selectPart(wordsOf(voice())), { title: t('From the first word to the last one') })
  const keep = button('Keep this part', () => keepPart(), { title: t('The part becomes a file of its own; the recording stays') })
  const pause = createPause(studio, clip, voice)
  const parts = h('div', { className: 'tools part', hidden: true }, keep, words)
  const line = h('div', { className: 'line' }, player.element, waveform.element)
  const tools = h('div', { className: 'tools' }, choose, mic, trim, pause.element)
  const element = h('div', { className: 'voice', role: 'group' }, line, about, parts, faults, tools, state, picker)

  const use = file => {
    if (file) last = last.then(() => working(t('Uploading {}…', file.name), () => useFile(studio, clip(), file)))
  }

  async function toggleRecording() {
    if (recording) {
      const { keep } = recording
      recording = null
      return working(t('Keeping the recording…'), keep)
    }
    // The browser asks whether the page may use the microphone.
    if (isAsking) return
    isAsking = true
    try {
      recording = await record(studio, clip())
    } finally {
      isAsking = false
    }
    if (isGone) close()
    else show()
  }

  /** Ends what would go on without a button that ends it. */
  function close() {
    isGone = true
    player.close()
    recording?.discard()
    recording = null
  }

  function keepPart() {
    const [start, end] = waveform.part()
    player.pause()
    return working(t('Cutting…'), async () => {
      await useCut(studio, clip(), start, end)
      waveform.choose(null)
    })
  }

  function selectPart(part) {
    waveform.choose(part)
    show()
  }

  function showPart() {
    const part = waveform.part()
    set(parts, { hidden: !part })
    trim.setAttribute('aria-expanded', String(!!part))
    set(trim, { textContent: t(part ? 'Do not trim' : 'Trim') })
    if (part) set(keep, { textContent: t('Keep {} to {}', exactClock(part[0]), exactClock(part[1])) })
  }

  function show() {
    const now = voice()
    set(element, { hidden: !now })
    if (!now) return
    set(line, { hidden: !now.peaks.length })
    waveform.paint(now)
    player.paint(label)
    set(about, { textContent: aboutText(now), title: now.name })
    const texts = now.faults.map(({ text }) => localized(text))
    if (faults.textContent !== texts.join('')) faults.replaceChildren(...texts.map(textContent => h('li', { textContent })))
    set(faults, { hidden: !texts.length })
    faults.dataset.usable = now.usable
    const off = whyNoRecording()
    set(mic, { textContent: t(recording ? 'Stop recording' : 'Record'), disabled: !!off, title: off || t('From the microphone of this computer') })
    mic.setAttribute('aria-pressed', String(!!recording))
    set(trim, { hidden: !now.peaks.length })
    mic.setAttribute('aria-disabled', String(!!busy))
    for (const one of [choose, trim, keep, words]) one.setAttribute('aria-disabled', String(!!busy || !!recording))
    set(words, { hidden: !now.speech })
    set(state, { textContent: recording ? t('Recording…') : busy, hidden: !busy && !recording })
    element.setAttribute('aria-busy', String(!!busy))
    pause.paint(now, label)
    showPart()
  }

  acceptRecordings(element, use)
  return {
    element,
    close,
    paint(_, title) {
      label = title
      element.setAttribute('aria-label', t('Voice of {}', title))
      choose.setAttribute('aria-label', t('Choose a recording for {}', title))
      show()
    },
  }
}

const wordsOf = ({ speech, seconds }) => (speech ? [Math.max(0, speech[0] - ROOM), Math.min(seconds, speech[1] + ROOM)] : [0, seconds])

function aboutText({ kind, loader, seconds, level, others }) {
  if (!kind) return t('No voice')
  if (!loader) return kind === 'EmptyAudio' ? t('Silence, until there is a recording') : t('The voice comes from another node')
  const parts = [seconds ? t('Voice {}', exactClock(seconds)) : t('Voice')]
  if (level !== null) parts.push(t('words at {} dB', Math.round(level)))
  if (others.length) parts.push(t('other scenes with it: {}', others.length))
  return parts.join(' · ')
}

/** The button that plays the recording, or its chosen part. */
function createPlayer(studio, voice, part) {
  const audio = new Audio()
  audio.preload = 'none'
  const element = h('button', { type: 'button', className: 'play' })
  let waveform = null
  let frame = 0
  let label = ''

  function load() {
    const { file } = voice()
    const url = file ? studio.url(file) : ''
    if (audio.dataset.url !== url) Object.assign(audio, { src: url }).dataset.url = url
  }
  function follow() {
    const chosen = part()
    if (chosen && audio.currentTime >= chosen[1]) audio.pause()
    waveform.at(audio.paused ? null : audio.currentTime)
    if (!audio.paused) frame = requestAnimationFrame(follow)
  }
  function from(second) {
    load()
    audio.currentTime = second
    play()
  }
  function play() {
    audio.play().catch(error => error.name === 'AbortError' || studio.toast('error', t('The recording cannot be played: {}', error.message)))
  }
  function paint() {
    const text = t(audio.paused ? 'Play the voice of {}' : 'Pause the voice of {}', label)
    set(element, { textContent: audio.paused ? '▶' : '❚❚', title: text })
    element.setAttribute('aria-label', text)
  }

  audio.onplay = () => (paint(), cancelAnimationFrame(frame), follow())
  audio.onpause = () => (paint(), follow())
  element.onclick = () => {
    if (!audio.paused) return audio.pause()
    const chosen = part()
    if (chosen) return from(chosen[0])
    load()
    play()
  }
  return {
    element,
    from,
    pause: () => audio.pause(),
    close() {
      audio.pause()
      // Lets go of the file; what is loaded is kept otherwise.
      audio.removeAttribute('src')
      audio.load()
      delete audio.dataset.url
    },
    follow: shown => (waveform = shown),
    paint(title) {
      label = title
      paint()
      // Another recording, or none, is silent.
      if (audio.dataset.url && audio.dataset.url !== (voice()?.file ? studio.url(voice().file) : '')) audio.pause()
    },
  }
}

function createPause(studio, clip, voice) {
  const field = h('input', { type: 'number', min: 0, max: 10, step: 0.1, placeholder: t('film’s') })
  const element = h('label', { className: 'pause', title: t('Seconds until the next scene; empty: as set on the Film') }, t('Pause after (s)'), ' ', field)
  field.onchange = () => setPause(studio, clip(), field.value === '' ? null : Math.max(0, Math.min(10, Number(field.value))))
  return {
    element,
    paint({ film_scene: place, pause }, title) {
      set(element, { hidden: !place })
      field.setAttribute('aria-label', t('Seconds of pause after {}', title))
      if (document.activeElement !== field) set(field, { value: pause === null ? '' : String(pause) })
    },
  }
}

/** Takes a recording that is dropped on the card's voice, which ComfyUI would put on the canvas. */
function acceptRecordings(element, use) {
  const over = wanted => event => {
    if (!event.dataTransfer?.types.includes('Files')) return
    event.preventDefault()
    event.stopPropagation()
    element.classList.toggle('over', wanted)
  }
  element.ondragover = over(true)
  element.ondragleave = over(false)
  element.ondrop = event => {
    over(false)(event)
    use(event.dataTransfer.files[0])
  }
}
