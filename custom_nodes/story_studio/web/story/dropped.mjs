/** The files that a story is opened from: those dropped or chosen, and the story, script or recordings in them. */

/** Names that only stories and scripts have. */
const SURELY = /\.(ya?ml|fountain|spmd)$/i
const STORY = /\.(ya?ml|json)$/i
export const SCRIPT = /\.(fountain|spmd|csv|tsv|srt|vtt|md|markdown|txt|text)$/i
const NO_SCRIPT = /(^|\/)(readme|licen[cs]e)[^/]*$/i
const RECORDING = /^(audio|video)\//

/**
 * The dropped files with their paths, including those in folders; null if ComfyUI should handle the drop
 * because it cannot hold a story.
 */
export function droppedFiles(transfer) {
  const entries = entriesOf(transfer)
  const ours = entries.some(entry => entry.isDirectory || STORY.test(entry.name) || SCRIPT.test(entry.name))
  // Entries are gone when the event ends, so reading starts before the first await.
  return ours ? Promise.all(entries.map(entry => walk(entry, ''))).then(found => found.flat()) : null
}

/** Whether it is a story for nothing but us: a folder, or files with names that no node takes. */
export const isSurelyStory = transfer => entriesOf(transfer).some(entry => entry.isDirectory || SURELY.test(entry.name))

const entriesOf = transfer => [...(transfer?.items ?? [])].map(item => item.webkitGetAsEntry?.()).filter(Boolean)

async function walk(entry, folder) {
  const path = folder + entry.name
  if (entry.isFile) return [{ path, file: await new Promise((done, fail) => entry.file(done, fail)) }]
  const reader = entry.createReader()
  const found = []
  // A reader returns at most a hundred entries at a time.
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail))
    if (!some.length) break
    found.push(...some)
  }
  return (await Promise.all(found.map(one => walk(one, `${path}/`)))).flat()
}

/**
 * The story file among files, with its folder, or else a script, or else a folder of recordings; null if there is
 * none. A JSON file must have scenes to be a story; a text with the name of a recording says what is said in it.
 */
export async function findStory(files) {
  const depth = path => path.split('/').length
  const sorted = [...files].sort((a, b) => depth(a.path) - depth(b.path))
  const recordings = sorted.filter(({ file }) => RECORDING.test(file.type))
  const stem = path => path.replace(/\.[^./]*$/, '').toLowerCase()
  const stems = new Set(recordings.map(({ path }) => stem(path)))
  for (const kind of [STORY, SCRIPT]) {
    for (const { path, file } of sorted) {
      if (!kind.test(path) || file.size > 5e6 || (kind === SCRIPT && (stems.has(stem(path)) || NO_SCRIPT.test(path)))) continue
      const text = await file.text()
      const folder = folderOf(path)
      if (!/\.json$/i.test(path) || isStory(text)) return { name: path.slice(folder.length), text, folder, path }
    }
  }
  const folder = recordings.length ? folderOf(recordings[0].path) : ''
  return folder ? { name: folder.split('/').slice(-2).join('/'), text: '', folder, path: '' } : null
}

const folderOf = path => path.slice(0, path.lastIndexOf('/') + 1)

function isStory(text) {
  try {
    const data = JSON.parse(text)
    return Array.isArray((data.input ?? data).scenes)
  } catch {
    return false
  }
}
