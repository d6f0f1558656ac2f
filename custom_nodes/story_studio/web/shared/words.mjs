/** The panel's texts in the language of the interface. The English text is the key, and the fallback. */
import checks from './chinese/checks.mjs'
import edit from './chinese/edit.mjs'
import film from './chinese/film.mjs'
import panel from './chinese/panel.mjs'
import pins from './chinese/pins.mjs'
import plan from './chinese/plan.mjs'
import settings from './chinese/settings.mjs'
import story from './chinese/story.mjs'
import voice from './chinese/voice.mjs'

const CHINESE = { ...checks, ...edit, ...film, ...panel, ...pins, ...plan, ...settings, ...story, ...voice }
let words = {}
let language = 'en'

/** Sets the language, as in ComfyUI's setting for its interface. */
export function speak(locale) {
  words = locale === 'zh' ? CHINESE : {}
  language = locale || 'en'
}

/** Whether that language is Chinese. */
export function inChinese() {
  return words === CHINESE
}

/** A text in that language; each {} is replaced by the next part. */
export function t(english, ...parts) {
  return (words[english] ?? english).replace(/\{\}/g, () => parts.shift())
}

/** The name of a scene's result, `still` or `clip`. */
export const partName = part => t(part === 'still' ? 'Still' : 'Clip')

/** How far something is, to stand behind it; nothing at its beginning. */
export const percent = fraction => (fraction ? ` ${Math.round(fraction * 100)} %` : '')

/** A date (ISO) for people, to the minute. */
export const date = iso => (iso ? new Date(iso).toLocaleString(language, { dateStyle: 'medium', timeStyle: 'short' }) : '')
