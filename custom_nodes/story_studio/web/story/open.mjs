/** A story file, a script or recordings, opened on the canvas as the graph that the driver would submit. */
import { ask } from '../shared/server.mjs'
import { t } from '../shared/words.mjs'
import { SCRIPT } from './dropped.mjs'
import { layOut } from './layout.mjs'
import { offer, upload } from './upload.mjs'

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
