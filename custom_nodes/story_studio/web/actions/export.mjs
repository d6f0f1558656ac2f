/** Downloads. */
import { ask } from '../shared/server.mjs'
import { showProgress } from '../shared/waiting.mjs'
import { t } from '../shared/words.mjs'
import { openWorkflow, root } from '../shared/workflow.mjs'

/** Downloads what is at an address, under a name; without one, that which the server gives it. */
export function download(href, name) {
  Object.assign(document.createElement('a'), { href, download: name }).click()
}

/** Downloads these parts of the story of a film as one ZIP file: film, captions, story, stills, clips. */
export async function downloadAll(studio, id, parts) {
  const { app, model } = studio
  const open = openWorkflow(app)
  try {
    await studio.refresh()
    // Another one may have a film of the same id.
    if (model.workflow !== open) return
    const workflow = root(app).id ?? ''
    const { file, missing, is_old: isOld } = await showProgress(t('Packing the ZIP file…'), () => ask(app, 'bundle', { prompt: model.prompt, workflow, film: id, parts }))
    const notes = [
      isOld && t('The film is out of date: it was made before the last change.'),
      missing.length && t('Not rendered yet, and so not in the file: {}.', missing.join(', ')),
    ]
    studio.toast('warn', notes.filter(Boolean).join('\n'))
    if (file) download(studio.url(file), file.filename)
  } catch (error) {
    studio.toast('error', error.message)
  }
}
