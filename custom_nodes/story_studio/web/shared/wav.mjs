/** Writes what was recorded in the browser as WAV, which every loader reads. */

const HEADER = 44

/** A mono 16-bit WAV of what a browser can decode, as a file with this name. */
export async function toWav(blob, name) {
  const context = new AudioContext()
  try {
    const audio = await context.decodeAudioData(await blob.arrayBuffer())
    return new File([wavOf(mixed(audio), audio.sampleRate)], name, { type: 'audio/wav' })
  } finally {
    await context.close()
  }
}

function mixed(audio) {
  const mono = new Float32Array(audio.length)
  for (let channel = 0; channel < audio.numberOfChannels; channel++) {
    audio.getChannelData(channel).forEach((value, index) => (mono[index] += value / audio.numberOfChannels))
  }
  return mono
}

function wavOf(samples, rate) {
  const view = new DataView(new ArrayBuffer(HEADER + 2 * samples.length))
  const text = (at, letters) => [...letters].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)))
  text(0, 'RIFF')
  view.setUint32(4, HEADER - 8 + 2 * samples.length, true)
  text(8, 'WAVEfmt ')
  view.setUint32(16, 16, true)
  // PCM, one channel.
  view.setUint16(20, 1, true)
  view.setUint16(22, 1, true)
  view.setUint32(24, rate, true)
  view.setUint32(28, 2 * rate, true)
  view.setUint16(32, 2, true)
  view.setUint16(34, 16, true)
  text(36, 'data')
  view.setUint32(40, 2 * samples.length, true)
  samples.forEach((value, index) => view.setInt16(HEADER + 2 * index, Math.max(-1, Math.min(1, value)) * 32767, true))
  return view.buffer
}
