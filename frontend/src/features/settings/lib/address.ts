/** Addresses as people type them. */

export interface ReadAddress {
  /** Without a slash at its end; null for an empty field, which means "as deployed". */
  url: string | null;
  error: string | null;
}

export function readAddress(text: string): ReadAddress {
  const typed = text.trim();
  if (!typed) return { url: null, error: null };
  try {
    const { protocol, hostname } = new URL(typed);
    if ((protocol === "http:" || protocol === "https:") && hostname) return { url: typed.replace(/\/+$/, ""), error: null };
  } catch {
    // Said below.
  }
  return { url: null, error: "Enter an address such as http://localhost:8002." };
}
