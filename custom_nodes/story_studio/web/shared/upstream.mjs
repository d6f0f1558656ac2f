/** What nodes of an API workflow are made from. */

/** Inputs that only say what a node waits for, or that the interface adds to show something. */
const NO_PART = ['after', 'audioUI', 'upload', 'video-preview', 'preview_text', 'preview_markdown', 'preview_mode', 'previewMode']

/** These nodes and all that they are made from. */
export function upstream(prompt, ids) {
  // What is added while it is walked through comes at its end.
  const found = new Set(ids)
  for (const id of found) {
    for (const [name, value] of partsOf(prompt[id])) if (Array.isArray(value) && typeof value[0] === 'string') found.add(value[0])
  }
  return found
}

/** What a node is made from, as a text that changes with it. */
export const madeFrom = (prompt, id) => JSON.stringify([...upstream(prompt, [id])].map(one => [one, prompt[one]?.class_type, partsOf(prompt[one])]))

const partsOf = node => Object.entries(node?.inputs ?? {}).filter(([name]) => !NO_PART.includes(name))
