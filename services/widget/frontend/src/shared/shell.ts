/** Returns the data that the server put into the page. */
export function readShell<T>(): T {
  return JSON.parse(document.getElementById("twofold")!.textContent!) as T;
}
