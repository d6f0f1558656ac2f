/** Opens and saves stories. */
import { t } from '../shared/words.mjs'
import { droppedFiles, findStory } from '../story/dropped.mjs'
import { openStory } from '../story/open.mjs'
import { saveStory } from '../story/save.mjs'

/** Opens the story among files, each with its `path`; a single other file is left to ComfyUI. */
export async function open(studio, files) {
  try {
    const story = await findStory(files)
    if (story) studio.toast('warn', (await openStory(studio.app, story, files)).join('\n'))
    else if (files.length === 1) await studio.app.handleFile(files[0].file, 'file_drop')
    else throw new Error(t('None of these is a story file or a script: its name ends in .yaml or .json and it has scenes, or in .fountain, .csv, .srt, .vtt, .md or .txt.'))
  } catch (error) {
    studio.toast('error', error.message)
  }
}

/** Downloads the scenes on the canvas as a story file. */
export async function save(studio) {
  try {
    const warnings = await saveStory(studio)
    if (!warnings) return
    studio.toast('warn', warnings.join('\n'))
    studio.toast('info', t('The story file names its files as they are in ComfyUI’s input folder: put it there.'))
  } catch (error) {
    studio.toast('error', error.message)
  }
}

/** Opens what is dropped anywhere on the page, if it can hold a story. */
export function acceptDrops(studio) {
  // Comes before ComfyUI's own listener, which takes a single file and no folders.
  window.addEventListener('drop', event => {
    const files = droppedFiles(event.dataTransfer)
    if (!files) return
    event.preventDefault()
    event.stopImmediatePropagation()
    files.then(found => open(studio, found), error => studio.toast('error', error.message))
  }, { capture: true })
}
