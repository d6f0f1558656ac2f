/** The waveform of a recording: plays it from where it is clicked, and has two handles that choose a part of it. */
import { h, set } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'

const SVG = 'http://www.w3.org/2000/svg'
/** Seconds that an arrow key moves a handle, and with Shift. */
const [STEP, BIG_STEP] = [0.05, 0.5]
/** The shortest part, in seconds: a scene needs as much. */
const SHORTEST = 0.2

/** Seconds as people write them. */
export const exactClock = seconds => (seconds < 60 ? `${seconds.toFixed(2)} s` : `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, '0')}`)

/**
 * @param onSeek called with the second that was clicked.
 * @param onPart called with the part while its handles move.
 * @returns `element`; `paint({name, peaks, seconds})`; `at(second)`, which moves the mark of what is playing; `part()`, from and
 *   to which second; `choose(part)`, which shows the handles at a part, or with null hides them.
 */
export function createWaveform(onSeek, onPart) {
  const path = document.createElementNS(SVG, 'path')
  const wave = document.createElementNS(SVG, 'svg')
  wave.setAttribute('preserveAspectRatio', 'none')
  wave.setAttribute('aria-hidden', 'true')
  wave.append(path)
  const head = h('span', { className: 'playhead', hidden: true })
  const [before, after] = ['before', 'after'].map(side => h('span', { className: `left-out ${side}`, hidden: true }))
  const element = h('div', { className: 'waveform' }, wave, before, after, head)
  const handles = [0, 1].map(side => createHandle(side, move, finish))
  element.append(...handles)
  let seconds = 0
  let part = null
  let drawn = null
  let name = ''

  const place = second => `${seconds ? (100 * second) / seconds : 0}%`
  const secondAt = event => {
    const { left, width } = element.getBoundingClientRect()
    return Math.max(0, Math.min(1, (event.clientX - left) / width)) * seconds
  }

  function move(side, change) {
    if (!part) return
    const [start, end] = part
    const limits = side ? [start + SHORTEST, seconds] : [0, end - SHORTEST]
    const wanted = typeof change === 'number' ? part[side] + change : secondAt(change)
    part = part.with(side, Math.max(limits[0], Math.min(limits[1], wanted)))
    show()
    onPart(part)
  }

  function finish() {
    onPart(part)
  }

  function show() {
    for (const one of [before, after, ...handles]) set(one, { hidden: !part })
    if (!part) return
    before.style.width = place(part[0])
    after.style.width = place(seconds - part[1])
    handles.forEach((handle, side) => {
      handle.style.left = place(part[side])
      const range = { valuemin: 0, valuemax: seconds.toFixed(2), valuenow: part[side].toFixed(2), valuetext: exactClock(part[side]) }
      for (const [name, value] of Object.entries(range)) handle.setAttribute(`aria-${name}`, value)
    })
  }

  function choose(wanted) {
    part = wanted && [Math.max(0, wanted[0]), Math.min(seconds, wanted[1])]
    show()
  }

  element.addEventListener('click', event => event.target.closest('.handle') || onSeek(secondAt(event)))
  return {
    element,
    paint(recording) {
      if (drawn === recording.peaks) return
      drawn = recording.peaks
      const isOther = name !== recording.name || seconds !== recording.seconds
      name = recording.name
      seconds = recording.seconds
      wave.setAttribute('viewBox', `0 -1 ${Math.max(1, drawn.length)} 2`)
      // A line is seen where there is silence, too.
      path.setAttribute('d', drawn.map((peak, index) => `M${index + 0.5} ${-Math.max(peak, 0.015)}V${Math.max(peak, 0.015)}`).join(''))
      // The part was of the recording before.
      if (isOther) choose(null)
    },
    at(second) {
      set(head, { hidden: second === null })
      head.style.left = place(second ?? 0)
    },
    part: () => part,
    choose,
  }
}

function createHandle(side, move, finish) {
  const label = t(side ? 'End of the part' : 'Start of the part')
  const handle = h('span', { className: 'handle', tabIndex: 0, role: 'slider', hidden: true, title: label, aria: { label } })
  handle.onpointerdown = event => {
    event.preventDefault()
    handle.focus()
    handle.setPointerCapture(event.pointerId)
    handle.onpointermove = moved => move(side, moved)
  }
  handle.onpointerup = handle.onpointercancel = () => {
    handle.onpointermove = null
    finish()
  }
  handle.onkeydown = event => {
    const direction = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key]
    if (!direction) return
    event.preventDefault()
    // ComfyUI moves nodes with the arrow keys.
    event.stopPropagation()
    move(side, direction * (event.shiftKey ? BIG_STEP : STEP))
  }
  return handle
}
