/** Opens and saves stories. */
import { showProgress } from '../shared/waiting.mjs'
import { t } from '../shared/words.mjs'
import { droppedFiles, findStory, isSurelyStory } from '../story/dropped.mjs'
import { openStory } from '../story/open.mjs'
import { saveStory } from '../story/save.mjs'

/** Opens the story among files, each with its `path`; a single other file, and workflows among them, are left to ComfyUI. */
export async function open(studio, files) {
  try {
    const story = await findStory(files)
    if (story) {
      const warnings = await showProgress(t('Opening {}…', story.name), onProgress => openStory(studio.app, story, files, onProgress))
      studio.toast('warn', warnings.join('\n'))
    } else if (files.length === 1 || files.some(({ path }) => /\.json$/i.test(path))) {
      for (const { file } of files) await studio.app.handleFile(file, 'file_drop')
    } else throw new Error(t('None of these is a story file or a script: its name ends in .yaml or .json and it has scenes, or in .fountain, .csv, .srt, .vtt, .md or .txt.'))
  } catch (error) {
    studio.toast('error', error.message)
  }
}

/** Downloads the scenes on the canvas as a story file. */
export async function save(studio) {
  try {
    const saved = await saveStory(studio)
    if (!saved) return
    studio.toast('warn', saved.warnings.join('\n'))
    if (saved.faults.length) return studio.toast('error', [t('The file was saved, but cannot be opened until this is changed:'), ...saved.faults].join('\n'))
    studio.toast('info', t('The story file names its files as they are in ComfyUI’s input folder: put it there.'))
  } catch (error) {
    studio.toast('error', error.message)
  }
}

/** What takes dropped files itself: dialogs and texts, if they are not the panel's or on the canvas. */
const OTHERS = 'dialog, [role=dialog], input, textarea, [contenteditable=true]'
const OURS = '.story-studio, .dom-widget, [data-node-id]'

/** Opens what is dropped on the page, if it can hold a story and nothing else there takes it. */
export function acceptDrops(studio) {
  // Comes before ComfyUI's own listener, which takes a single file and no folders.
  window.addEventListener('drop', event => {
    const { target } = event
    if (target.closest?.(OTHERS) && !target.closest(OURS)) return
    const files = droppedFiles(event.dataTransfer)
    if (!files) return
    event.preventDefault()
    event.stopImmediatePropagation()
    const taken = offerToNode(studio.app, event)
    Promise.all([taken, files]).then(([isTaken, found]) => isTaken || open(studio, found)).catch(error => studio.toast('error', error.message))
  }, { capture: true })
}

/** Gives a drop to the node below it, as ComfyUI does before it opens the file; whether the node takes it. */
function offerToNode(app, event) {
  const node = app.dragOverNode
  if (!node) return false
  app.dragOverNode = null
  app.canvas.setDirty(true, true)
  return !isSurelyStory(event.dataTransfer) && node.onDragDrop?.(event)
}
