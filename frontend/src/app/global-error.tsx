"use client";

/** When even the layout has failed: no styles and no components of ours can be trusted. */
export default function GlobalError({ error, reset }: { error: Error & { digest?: string }; reset: () => void }) {
  return (
    <html lang="en">
      <body
        style={{
          fontFamily: "system-ui, sans-serif",
          maxWidth: "40rem",
          margin: "15vh auto",
          padding: "0 1rem",
        }}
      >
        <title>Something went wrong · MLX Model Hub</title>
        <h1>The dashboard could not be shown</h1>
        <p>{error.message || "An unexpected error."}</p>
        {error.digest ? <p>Reference {error.digest}</p> : null}
        <button type="button" onClick={reset}>
          Try again
        </button>
      </body>
    </html>
  );
}
