import { Datasets } from "@/features/datasets/components/datasets";

export const metadata = { title: "Data Prep Studio" };

export default function DatasetsPage() {
  return <Datasets />;
}
