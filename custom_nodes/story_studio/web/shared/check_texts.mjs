/** What a check says of a clip, in words. */
import { t } from './words.mjs'

export const SIGNS = { pass: '✓', warn: '!', fail: '✗' }

/** The worst finding as a sentence. The server writes English; elsewhere it is the name and value of the figure. */
export function firstSentence(check) {
  if (!check?.finding) return ''
  const { name, value, text } = check.finding
  return t(name) === name ? text : `${t(name)}: ${value}`
}

/** The key figures, one a line. */
export const figuresOf = check => check.figures.map(({ name, value }) => `${t(name)}: ${value}`).join('\n')
