/** Sentences of the server, which writes English, in the language of the interface. */
import { inChinese } from './words.mjs'

/** Longer lines, such as what another program has printed, hold none of ours. */
const LONGEST = 2000
const MOST_KEPT = 1000
/** In a template: what is there or not, and what differs from sentence to sentence. */
const PIECES = /(\[[^[\]]*\{[\d、]?\}[^[\]]*\]|\{[\d、]?\})/
/** Where in a file something is wrong, which stands before it. */
const PLACE = /^((?:\S+: )?(?:\S+ \(line \d+\)|line \d+|[\w.-]*\[\d+\][^\s:]*|\w[\w-]*(?:\.\w[\w-]*)+)): /

let templates = null
let reading = null
const known = new Map()

/** Reads the sentences, if the interface is Chinese: until then they stay as they are. */
export function learnSentences() {
  if (inChinese()) reading ??= import('./chinese/server.mjs').then(({ default: table }) => (templates = compile(table)), console.warn)
  return reading
}

/** What the server says, in the language of the interface; what is not known stays English. */
export function localized(text) {
  if (!inChinese() || !templates || !text) return text
  return text.split('\n').map(line => say(line) ?? line).join('\n')
}

/** A sentence, or several, in Chinese; undefined for one that is not known. */
function say(text) {
  if (text.length > LONGEST) return undefined
  if (!known.has(text)) {
    if (known.size > MOST_KEPT) known.clear()
    known.set(text, find(text))
  }
  return known.get(text)
}

function find(text) {
  const place = PLACE.exec(text)
  const what = place && say(text.slice(place[0].length))
  if (what) return `${shown(place[1]).replace(': ', '：')}：${what}`
  const found = templates.flatMap(one => matches(one, text))
  const known = found.filter(one => one.rest !== undefined)
  // What stands in a place of a sentence is seldom the end of another.
  const best = known.find(({ parts }) => !parts.some(part => /[.?] \S/.test(part))) ?? known[0]
  if (best) return fill(best) + best.rest
  return afterName(text) ?? found.map(one => `${fill(one)} ${one.after}`)[0]
}

/** How a template matches the beginning of a text and all of it, with what follows, and that in Chinese if it is known. */
function matches({ chinese, literals, whole, first }, text) {
  if (!literals.every(literal => text.includes(literal))) return []
  const results = [first?.exec(text), whole.exec(text)].filter(Boolean)
  return results.map(([all, ...parts]) => {
    const after = text.slice(all.length).trim()
    return { chinese, parts, after, rest: after && say(after) }
  })
}

/** A sentence about something whose name stands before it. */
function afterName(text) {
  for (let at = text.indexOf(': '); at > 0; at = text.indexOf(': ', at + 1)) {
    const what = say(text.slice(at + 2))
    if (what) return `${listed(text.slice(0, at))}：${what}`
  }
}

/**
 * The Chinese sentence of a template, with what the English one has in its places: {} is the next of them, {2} the
 * second, and {、} the next, which is a list.
 */
function fill({ chinese, parts }) {
  let next = 0
  const put = mark => {
    const part = parts[/\d/.test(mark) ? mark[1] - 1 : next++] ?? ''
    return mark === '{、}' ? listed(part) : (say(part.trim()) ?? shown(part))
  }
  const optional = piece => {
    const isThere = parts[next] !== undefined
    const text = filled(piece.slice(1, -1))
    return isThere ? text : ''
  }
  const filled = text =>
    text.split(PIECES).map((piece, index) => (index % 2 === 0 ? piece : piece[0] === '[' ? optional(piece) : put(piece))).join('')
  return filled(chinese)
}

const shown = part => part.replace(/ \(line (\d+)\)/g, '（第 $1 行）').replace(/(^|: )line (\d+)$/, '$1第 $2 行')

/** A list, as English writes it. */
const listed = part =>
  shown(part)
    .replace(/ and (\d+) more$/, '，以及另外 $1 个')
    .replace(/ and others$/, ' 等')
    .replace(/ and /g, ' 和 ')
    .replace(/ or /g, ' 或 ')
    .replaceAll(', ', '、')

/** The templates as expressions, the most specific first. */
function compile(table) {
  const size = ({ literals }) => literals.join('').length
  return Object.entries(table).map(one).sort((before, after) => size(after) - size(before))
}

function one([english, chinese]) {
  const pieces = english.split(PIECES)
  const literals = pieces.filter((piece, index) => piece && index % 2 === 0)
  const pattern = expressionOf(english)
  // Another sentence may follow one that ends.
  return { chinese, literals, whole: new RegExp(`^${pattern}$`), first: /[.?]$/.test(english) ? new RegExp(`^${pattern}(?=$| )`) : null }
}

function expressionOf(english) {
  const pieces = english.split(PIECES)
  const plain = piece => piece.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  // What follows a word without a space is there or not, such as its plural.
  const part = before => (/[a-z]$/.test(before) ? '(.*?)' : '(.+?)')
  const marked = (piece, before) => (piece[0] === '[' ? `(?:${expressionOf(piece.slice(1, -1))})?` : part(before))
  return pieces.map((piece, index) => (index % 2 === 0 ? plain(piece) : marked(piece, pieces[index - 1]))).join('')
}
