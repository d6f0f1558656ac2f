/** Which of ComfyUI's interfaces this is. */

/** Whether it is of a version before 1.`minor`; an unknown version counts as new. */
export function isBefore(minor) {
  const [major, own] = String(globalThis.__COMFYUI_FRONTEND_VERSION__ ?? '').split('.').map(Number)
  return major === 1 && own < minor
}
