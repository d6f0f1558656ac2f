/** What a check says of a clip, in words. */
import { localized } from './sentences.mjs'
import { t } from './words.mjs'

export const SIGNS = { pass: '✓', warn: '!', fail: '✗' }

/** The worst finding as a sentence; empty without one. */
export const firstSentence = check => localized(check?.finding?.text ?? '')

/** The key figures, one a line. */
export const figuresOf = check => check.figures.map(({ name, value }) => `${t(name)}: ${value}`).join('\n')
