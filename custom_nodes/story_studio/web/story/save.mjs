/** The graph on the canvas, saved as a story file. */
import { t } from '../shared/words.mjs'
import { readStory } from './read.mjs'
import { acceptLosses } from './rebuild.mjs'

/**
 * Downloads the graph on the canvas as a story file; asks first if something of it has no place in a story.
 *
 * @param studio see `createStudio`.
 * @returns {Promise<{warnings: string[], faults: string[]} | null>} sentences: warnings, and for what the file cannot be
 *   opened; null if the user does not want it.
 * @throws {Error} the graph has no scenes.
 */
export async function saveStory(studio) {
  const { data, warnings, losses, faults } = await readStory(studio)
  if (!(await acceptLosses(studio.app, losses, t('Save the story')))) return null
  const text = JSON.stringify(data, null, 2)
  const href = URL.createObjectURL(new Blob([text], { type: 'application/json' }))
  Object.assign(document.createElement('a'), { href, download: `${data.project_id}.json` }).click()
  setTimeout(() => URL.revokeObjectURL(href), 10_000)
  return { warnings: warnings.filter(one => !losses.includes(one) && !faults.includes(one)), faults }
}
