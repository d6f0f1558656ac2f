/** Files that are uploaded to ComfyUI's input folder, and offered by its loaders. */
import { showProgress } from '../shared/waiting.mjs'
import { t } from '../shared/words.mjs'

/** Adds files to the choices of the loaders, which list no subfolders: a file that is not listed is marked as missing. */
export function offer(names) {
  for (const [type, input] of [['LoadAudio', 'audio'], ['LoadImage', 'image'], ['LoadVideo', 'file']]) {
    const [first, options] = LiteGraph.registered_node_types[type]?.nodeData?.input?.required?.[input] ?? []
    const offered = Array.isArray(first) ? first : options?.options
    offered?.push(...names.filter(name => !offered.includes(name)))
  }
}

/** Uploads a file to ComfyUI's input folder under the name that the driver derives from its content. */
export async function upload(app, file) {
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

/** The same with a bar, for a file that was chosen by itself. */
export const uploadOne = (app, file) => showProgress(t('Uploading {}…', file.name), () => upload(app, file))

async function nameOf(file) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()))
  const hex = [...digest.slice(0, 12)].map(byte => byte.toString(16).padStart(2, '0')).join('')
  const suffix = /[^.]\.([a-z0-9]{1,5})$/i.exec(file.name)?.[1].toLowerCase()
  return suffix ? `${hex}.${suffix}` : hex
}
