/** Saves text that the page made as a file of the reader's. */
export function downloadFile(name: string, content: string, type: string): void {
  downloadBlob(name, new Blob([content], { type }));
}

export function downloadBlob(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser has taken the content by then; at once would be too early for some.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
