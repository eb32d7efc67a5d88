import { ByteSize } from "@/components/app/byte-size";
import { type Column, DataTable } from "@/components/app/data-table";
import { type Backend } from "@/lib/api/client";
import { formatBytes } from "@/lib/format/bytes";
import { formatCount } from "@/lib/format/numbers";

type HubFile = Backend<"HubFilePublic">;

const COLUMNS: readonly Column<HubFile>[] = [
  { id: "name", header: "File", cell: (file) => <span className="font-mono text-xs break-all">{file.name}</span> },
  { id: "size", header: "Size", align: "right", cell: (file) => <ByteSize bytes={file.num_bytes} /> },
  {
    id: "downloaded",
    header: "Download",
    cell: (file) => (file.is_downloaded ? "Included" : <span className="text-muted-foreground">Left out</span>),
  },
];

export function FilesTable({ model }: { model: Backend<"HubModelDetails"> }) {
  const included = model.files.filter((file) => file.is_downloaded);
  return (
    <div className="flex flex-col gap-2">
      <p className="text-xs text-muted-foreground">
        {formatCount(included.length, "file")} with {formatBytes(model.download_bytes)} are downloaded. Code, pickles and other
        formats are left out: they are not needed, and may do harm.
      </p>
      <DataTable label="Files" columns={COLUMNS} rows={model.files} rowKey={(file) => file.name} />
    </div>
  );
}
