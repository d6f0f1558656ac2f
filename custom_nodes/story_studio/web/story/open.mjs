/** A story file, a script or recordings, opened on the canvas: a box for each scene. */
import { ask } from '../shared/server.mjs'
import { t } from '../shared/words.mjs'
import { workflowOf } from './boxes.mjs'
import { SCRIPT } from './dropped.mjs'
import { remember, setMemory } from './read.mjs'
import { offer, upload } from './upload.mjs'

/**
 * Opens a story or a script on the canvas, in a new tab.
 *
 * @param app ComfyUI's.
 * @param story what `findStory` found.
 * @param files the files that came with it: recordings, images, custom recipes.
 * @param onProgress is called with how many of them are read, and how many there are.
 * @returns {Promise<string[]>} warnings and what is left to do, as sentences.
 * @throws {Error} everything that is wrong with the story.
 */
export async function openStory(app, story, files, onProgress) {
  const sent = { name: story.name, text: story.text, files: {}, workflows: {}, texts: {} }
  for (const [index, { path, file }] of files.entries()) {
    onProgress(index, files.length)
    const beside = path.startsWith(story.folder) ? path.slice(story.folder.length) : path
    if (path === story.path || file.name.startsWith('.')) continue
    if (/\.json$/i.test(path)) sent.workflows[beside] = await file.text()
    else if (!story.path && SCRIPT.test(path)) sent.texts[beside] = await file.text()
    else if (/^(audio|image|video)\//.test(file.type)) sent.files[beside] = await upload(app, file)
  }
  onProgress(files.length, files.length)
  const found = await ask(app, 'graph', sent)
  offer(filesIn(found.canvas))
  const workflow = workflowOf(found.canvas, viewOf(app))
  setMemory(workflow, await remember(app, found.canvas, found.data, found.workflows))
  await app.loadGraphData(workflow, true, true, freeTitle(app, found.title))
  const missing = found.missing.length && t('These files are missing: choose them in their Load nodes, or open the story again together with them: {}.', found.missing.join(', '))
  return [...found.warnings, missing].filter(Boolean)
}

/** The files in subfolders of ComfyUI's input folder that the nodes of a story load. */
export function filesIn(canvas) {
  const names = Object.values(canvas.nodes).map(({ inputs }) => inputs.audio ?? inputs.image ?? inputs.file)
  return names.filter(name => typeof name === 'string' && name.includes('/'))
}

/** Where the canvas is on the page, in pixels, and how much of it the panel covers on its left. */
export function viewOf(app) {
  const { left, width, height } = app.canvas.canvas.getBoundingClientRect()
  const panel = document.querySelector('section.story-studio')?.getBoundingClientRect()
  return { width, height, left: panel && panel.left < width / 2 ? Math.max(0, panel.right - left) : 0 }
}

/** How many bytes of a title a file's name can hold, beside its number and `.json`. */
const MOST_BYTES = 200

/** A title that no workflow has: ComfyUI would open a story in the tab of a workflow with its title. */
export function freeTitle(app, title) {
  const { workflows = [], openWorkflows = [] } = app.extensionManager.workflow
  // On some machines a file's name has no case, and saving one story would replace the other.
  const taken = new Set([...workflows, ...openWorkflows].map(({ path }) => path.toLowerCase()))
  const wanted = shortened(title.replace(/(\.app)?\.json$/i, '').replace(/[\\/]/g, '-').replace(/\s+/g, ' ').trim()) || t('Story')
  for (let number = 1; ; number++) {
    const name = number === 1 ? wanted : `${wanted} (${number})`
    if (!taken.has(`workflows/${name}.json`.toLowerCase())) return name
  }
}

function shortened(title) {
  const letters = [...title]
  while (new TextEncoder().encode(letters.join('')).length > MOST_BYTES) letters.pop()
  return letters.join('').trim()
}
