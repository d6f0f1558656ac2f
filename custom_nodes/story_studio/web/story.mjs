/** Story files: opened on the canvas as the graph that the driver would submit, and saved from it. */
import { ask } from './server.mjs'
import { captureState } from './widgets.mjs'
import { t } from './words.mjs'

const STORY = /\.(ya?ml|json)$/i
const SCRIPT = /\.(fountain|spmd|csv|tsv|srt|vtt|md|markdown|txt|text)$/i
const NO_SCRIPT = /(^|\/)(readme|licen[cs]e)[^/]*$/i
const RECORDING = /^(audio|video)\//
const GAP = 40
const TITLE = 30
const OURS = ['Still', 'Clip', 'Retake', 'CheckClip', 'ContactSheet', 'Film'].map(name => `StoryStudio_${name}`)
/** Nodes that grow when they show their image or video, and by how much. */
const SHOWING = ['LoadImage', 'LoadVideo', ...OURS]
const SHOWN = 260

/**
 * The dropped files with their paths, including those in folders; null if ComfyUI should handle the drop
 * because it cannot hold a story.
 */
export function droppedFiles(transfer) {
  const entries = [...(transfer?.items ?? [])].map(item => item.webkitGetAsEntry?.()).filter(Boolean)
  const ours = entries.some(entry => entry.isDirectory || STORY.test(entry.name) || SCRIPT.test(entry.name))
  // Entries are gone when the event ends, so reading starts before the first await.
  return ours ? Promise.all(entries.map(entry => walk(entry, ''))).then(found => found.flat()) : null
}

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

/**
 * Opens a story or a script on the canvas, in a new tab.
 *
 * @param app ComfyUI's.
 * @param story what `findStory` found.
 * @param files the files that came with it: recordings, images, custom recipes.
 * @returns {Promise<string[]>} warnings and what is left to do, as sentences.
 * @throws {Error} everything that is wrong with the story.
 */
export async function openStory(app, story, files) {
  const sent = { name: story.name, text: story.text, files: {}, workflows: {}, texts: {} }
  for (const { path, file } of files) {
    const beside = path.startsWith(story.folder) ? path.slice(story.folder.length) : path
    if (path === story.path || file.name.startsWith('.')) continue
    if (/\.json$/i.test(path)) sent.workflows[beside] = await file.text()
    else if (!story.path && SCRIPT.test(path)) sent.texts[beside] = await file.text()
    else if (/^(audio|image|video)\//.test(file.type)) sent.files[beside] = await upload(app, file)
  }
  const found = await ask(app, 'graph', sent)
  offer(Object.values(sent.files))
  await app.loadApiJson(found.prompt, found.title)
  for (const widget of app.graph.nodes.flatMap(node => node.widgets ?? [])) {
    if (widget.name === 'control_after_generate') widget.value = 'fixed'
  }
  layOut(app, found.groups)
  const missing = found.missing.length && t('These files are missing: choose them in their Load nodes, or open the story again together with them: {}.', found.missing.join(', '))
  return [...found.warnings, missing].filter(Boolean)
}

/**
 * Downloads the graph on the canvas as a story file.
 *
 * @param app ComfyUI's.
 * @param prompt the graph as an API workflow.
 * @param keys of the stills that exist, by node id.
 * @returns {Promise<string[]>} warnings, as sentences.
 * @throws {Error} the graph has no scenes.
 */
export async function saveStory(app, prompt, keys) {
  const { name, text, warnings } = await ask(app, 'story', { prompt, keys })
  const href = URL.createObjectURL(new Blob([text], { type: 'application/json' }))
  Object.assign(document.createElement('a'), { href, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(href), 10_000)
  return warnings
}

/** Adds files to the choices of the loaders, which list no subfolders: a file that is not listed is marked as missing. */
function offer(names) {
  for (const [type, input] of [['LoadAudio', 'audio'], ['LoadImage', 'image'], ['LoadVideo', 'file']]) {
    const [first, options] = LiteGraph.registered_node_types[type]?.nodeData?.input?.required?.[input] ?? []
    const offered = Array.isArray(first) ? first : options?.options
    offered?.push(...names.filter(name => !offered.includes(name)))
  }
}

/** Uploads a file to ComfyUI's input folder under the name that the driver derives from its content. */
async function upload(app, file) {
  const body = new FormData()
  // Browsers hash only on pages from this machine or over HTTPS. On others ComfyUI chooses a free name.
  body.append('image', file, crypto.subtle ? await nameOf(file) : file.name)
  body.append('subfolder', 'story_studio')
  if (crypto.subtle) body.append('overwrite', 'true')
  const answer = await app.api.fetchApi('/upload/image', { method: 'POST', body })
  if (!answer.ok) throw new Error(t('{} could not be uploaded: the server answered {}.', file.name, answer.status))
  const { name, subfolder } = await answer.json()
  return `${subfolder}/${name}`
}

async function nameOf(file) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()))
  const hex = [...digest.slice(0, 12)].map(byte => byte.toString(16).padStart(2, '0')).join('')
  const suffix = /[^.]\.([a-z0-9]{1,5})$/i.exec(file.name)?.[1].toLowerCase()
  return suffix ? `${hex}.${suffix}` : hex
}

/** Arranges the groups: the shared nodes left, the scenes below each other, the film right. */
function layOut(app, groups) {
  const { graph } = app
  const boxes = groups.map(([title, ids]) => place(title, ids.map(id => graph.getNodeById(Number(id))).filter(Boolean)))
  const [first, ...rest] = boxes
  const last = rest.length > 1 && rest.pop()
  let y = 0
  move(first, 0, 0)
  for (const box of rest) {
    move(box, first.width + 2 * GAP, y)
    y += box.height + 2 * GAP
  }
  if (last) move(last, first.width + 4 * GAP + Math.max(...rest.map(box => box.width)), 0)
  for (const { title, pos, width, height } of boxes) {
    const group = new LiteGraph.LGraphGroup(title)
    graph.add(group)
    group.pos = [pos[0] - GAP / 2, pos[1] - TITLE]
    group.size = [width + GAP, height + TITLE]
  }
  captureState(app)
  // The canvas knows the positions of nodes only after it has been drawn.
  requestAnimationFrame(() => requestAnimationFrame(() => app.extensionManager.command.execute('Comfy.Canvas.FitView')))
}

/** Positions, within their group, of the nodes of a group: each in a column to the right of its inputs. */
function place(title, nodes) {
  const columns = new Map()
  const inside = new Set(nodes)
  const column = node => {
    if (!columns.has(node)) {
      const above = node.inputs.map((_, slot) => node.getInputNode(slot)).filter(one => inside.has(one))
      columns.set(node, Math.max(0, ...above.map(one => column(one) + 1)))
    }
    return columns.get(node)
  }
  let x = 0
  let height = 0
  const at = new Map()
  const count = Math.max(...nodes.map(column)) + 1
  for (let number = 0; number < count; number++) {
    const stack = nodes.filter(node => column(node) === number)
    let y = 2 * TITLE
    for (const node of stack) {
      at.set(node, [x, y])
      y += node.size[1] + (SHOWING.includes(node.type) ? SHOWN : 0) + TITLE + GAP / 2
    }
    x += Math.max(...stack.map(node => node.size[0])) + GAP
    height = Math.max(height, y)
  }
  return { title, at, width: x - GAP, height }
}

function move(box, x, y) {
  box.pos = [x, y]
  for (const [node, [left, top]] of box.at) node.pos = [x + left, y + top]
}
