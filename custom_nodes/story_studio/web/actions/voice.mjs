/** What the voice tools of a card do: another recording, a part of it, one from the microphone, and the pause after it. */
import { setVoice } from '../canvas/voice.mjs'
import { captureState } from '../canvas/undo.mjs'
import { ownWidget, setWidget } from '../canvas/widgets.mjs'
import { ask } from '../shared/server.mjs'
import { t } from '../shared/words.mjs'
import { openWorkflow } from '../shared/workflow.mjs'
import { toWav } from '../shared/wav.mjs'
import { offer } from '../story/upload.mjs'

/** The pause of a scene that has the film's. */
const AS_FILM = -1
const MEDIA = /^(audio|video)\//

/** Makes a scene speak a file from this computer; it is uploaded to ComfyUI's input folder. */
export async function useFile(studio, clip, file) {
  if (!MEDIA.test(file.type)) return studio.toast('error', t('{} is not a recording: choose an audio file.', file.name))
  await change(studio, clip, () => upload(studio.app, file))
}

/** Makes a scene speak the part of its recording between two seconds; the whole recording stays as it is. */
export async function useCut(studio, clip, start, end) {
  const name = studio.voices.of(clip)?.name
  if (name) await change(studio, clip, async () => (await ask(studio.app, 'voice/cut', { file: name, start, end })).file)
}

/** Sets the seconds after a scene; null for what the film says. */
export async function setPause(studio, clip, seconds) {
  const { app, model, voices } = studio
  const input = 'pause_after'
  const places = model.scenes.map(one => voices.of(one.clip)?.film_scene).filter(Boolean)
  const place = voices.of(clip)?.film_scene
  // The card may be of the workflow before.
  if (!place || !studio.isShown()) return
  const others = places.filter(one => one !== place).map(id => ({ id, input }))
  const widget = ownWidget(app, { id: place, input }, others)
  if (!widget) return studio.toast('error', t('This scene has no input "{}" of its own: expose it on its subgraph node.', input))
  setWidget(app, widget, seconds ?? AS_FILM)
  await studio.refresh()
}

/**
 * Records from the microphone.
 *
 * @returns `keep()`, which ends the recording and makes the scene speak it, and `discard()`, which only ends it; null if
 *   it could not begin.
 */
export async function record(studio, clip) {
  const { workflow } = studio.model
  let stream
  let recorder
  const release = () => stream?.getTracks().forEach(track => track.stop())
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true })
    recorder = new MediaRecorder(stream)
    recorder.start()
  } catch (error) {
    release()
    studio.toast('error', t('The microphone cannot be used: {}. Connect one, and allow this page to use it.', error.message))
    return null
  }
  const parts = []
  const ended = new Promise(done => (recorder.onstop = done))
  recorder.ondataavailable = ({ data }) => parts.push(data)

  async function stop() {
    // It ends by itself if the microphone is unplugged.
    if (recorder.state !== 'inactive') recorder.stop()
    await ended
    release()
  }

  return {
    discard: stop,
    async keep() {
      await stop()
      const wav = async () => toWav(new Blob(parts, { type: recorder.mimeType }), 'recording.wav')
      await change(studio, clip, async () => upload(studio.app, await wav()), workflow)
    },
  }
}

/** Why this page cannot record; empty if it can. */
export function whyNoRecording() {
  // Browsers offer the microphone only to pages from this machine or over HTTPS.
  return navigator.mediaDevices?.getUserMedia && window.MediaRecorder ? '' : t('The browser offers the microphone only over HTTPS or on the server itself.')
}

/**
 * Makes a scene speak a file once it is there.
 *
 * @param workflow the one with the scene. Another one may be open by the time that the file is there, with another scene
 *   of the same id.
 */
async function change(studio, clip, make, workflow = studio.model.workflow) {
  try {
    const file = await make()
    offer([file])
    if (openWorkflow(studio.app) !== workflow) throw new Error(t('{} is in the input folder, but another workflow is open now: choose it in its scene.', file))
    const voice = studio.voices.of(clip)
    if (!voice) throw new Error(t('{} is in the input folder, but its scene is no longer there.', file))
    await use(studio, voice, file)
  } catch (error) {
    studio.toast('error', error.message)
  }
}

/** Sets the recording in one undo step, which includes the size of a loader that is marked. */
async function use(studio, voice, file) {
  setVoice(studio.app, voice, file)
  await studio.refresh()
  await studio.voices.settled()
  // The interface sizes a new node when it draws it.
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame)
  captureState(studio.app)
}

/** Uploads a file as ComfyUI's own button does: its loaders list no file of a folder after the page is loaded again. */
async function upload(app, file) {
  const body = new FormData()
  body.append('image', file)
  const answer = await app.api.fetchApi('/upload/image', { method: 'POST', body })
  if (!answer.ok) throw new Error(t('{} could not be uploaded: the server answered {}.', file.name, answer.status))
  return (await answer.json()).name
}
