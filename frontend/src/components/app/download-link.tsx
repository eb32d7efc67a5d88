"use client";

import { Download } from "lucide-react";
import { type ComponentProps, useState } from "react";
import { Button } from "@/components/ui/button";
import { fetchFile } from "@/lib/api/files";
import { useServiceURL } from "@/lib/api/use-service-url";
import { downloadBlob } from "@/lib/storage/download-file";
import { useSettings } from "@/lib/storage/settings";
import { toastError } from "./toasts";

interface DownloadLinkProps extends Pick<ComponentProps<typeof Button>, "size" | "aria-label"> {
  /** Of the backend. */
  path: string;
  /** What the file is called where the answer cannot say it. */
  name: string;
  /** "Download archive". */
  text: string;
}

/** A file of the backend's. The browser saves what a link names while it comes; with an API key, which no link can send, once it is whole. */
export function DownloadLink({ path, name, text, ...button }: DownloadLinkProps) {
  const { apiKey } = useSettings();
  const base = useServiceURL("backend");
  const [pending, setPending] = useState(false);
  const content = (
    <>
      <Download aria-hidden />
      {text}
    </>
  );

  async function save() {
    setPending(true);
    try {
      downloadBlob(name, await fetchFile("backend", path));
    } catch (error) {
      toastError(error);
    } finally {
      setPending(false);
    }
  }

  if (apiKey) {
    return (
      <Button variant="outline" {...button} pending={pending} onClick={() => void save()}>
        {content}
      </Button>
    );
  }
  return (
    <Button variant="outline" {...button} asChild>
      <a href={`${base}${path}`} download>
        {content}
      </a>
    </Button>
  );
}
