/** The graph on the canvas, saved as a story file. */
import { ask } from '../shared/server.mjs'

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
