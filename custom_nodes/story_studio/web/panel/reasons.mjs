/** Why something is made, and how long it takes, in words. */
import { t } from '../shared/words.mjs'

/** The most reasons that are named. */
const SHOWN = 4

/** Why a result is made: the `why` of POST /story_studio/plan, as a clause. */
export function reasonOf({ before, changes }) {
  if (!before) return t('there is none yet')
  if (!changes.length) return t('a file that it is made from changed, or its models')
  const named = changes.slice(0, SHOWN).map(sayChange)
  const more = changes.length - named.length
  return [...named, ...(more ? [t('{} more changes', more)] : [])].join('; ')
}

function sayChange({ what, name, before, after }) {
  const values = before || after ? ` (${before} → ${after})` : ''
  if (what === 'setting') return name + values
  if (what === 'node') return t('{} in place of {}', after, before)
  if (what === 'prompt') return t('its prompt changed')
  if (what === 'negative prompt') return t('its negative prompt changed')
  if (what === 'seed') return t('seed') + values
  if (what === 'scenes') return t('scenes that changed: {}', name)
  if (what === 'new scenes') return t('new scenes: {}', name)
  if (what === 'gone scenes') return t('scenes that are gone: {}', name)
  if (what === 'order') return t('the scenes are in another order')
  if (what === 'more') return t('more than can be compared')
  return { voice: t('its voice changed'), image: t('its image changed'), video: t('its own clip changed'), still: t('its still changed'), clip: t('a clip changed') }[what]
}

/** A time for people: two digits are as much as an estimate is good for. */
export function duration(seconds) {
  if (seconds < 60) return t('{} s', Math.max(1, Math.round(seconds)))
  const minutes = Math.round(seconds / 60)
  if (minutes < 60) return t('{} min', minutes)
  return t('{} h {} min', Math.floor(minutes / 60), minutes % 60)
}

/** The time that is known, and how much of it is not; `timeFor` gives both. */
export function saidTime({ seconds, unknown }, all) {
  if (!all) return ''
  if (unknown === all) return t('time not known yet')
  const about = t('about {}', duration(seconds))
  return unknown ? t('{}, and {} of unknown time', about, unknown) : about
}
