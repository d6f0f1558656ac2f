/** What is different in a text. */

/** Words, single Chinese characters, and the spaces between them. */
const PIECES = /[\u3000-\u9fff\uff00-\uffef]|[^\s\u3000-\u9fff\uff00-\uffef]+|\s+/g
/** Longer texts are compared as a whole: the time grows with the square. */
const MOST = 1200

/** The pieces of a text, each with whether it is missing in the other: `[[piece, isDifferent], ...]`. */
export function differences(text, other) {
  const [pieces, others] = [text, other].map(one => one.match(PIECES) ?? [])
  if (pieces.length > MOST || others.length > MOST) return [[text, text !== other]]
  const common = lengths(pieces, others)
  const found = []
  let at = 0
  pieces.forEach((piece, index) => {
    while (at < others.length && others[at] !== piece && common[index][at + 1] === common[index][at]) at++
    const same = others[at] === piece
    if (same) at++
    found.push([piece, !same && piece.trim() !== ''])
  })
  return found
}

/** The lengths of the longest common subsequences of what follows each pair of places. */
function lengths(pieces, others) {
  const table = Array.from({ length: pieces.length + 1 }, () => new Uint16Array(others.length + 1))
  for (let i = pieces.length - 1; i >= 0; i--) {
    for (let j = others.length - 1; j >= 0; j--) {
      table[i][j] = pieces[i] === others[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1])
    }
  }
  return table
}
