import { DatasetStudio } from "@/features/datasets/components/dataset-studio";

export default async function DatasetPage({ params }: { params: Promise<{ id: string }> }) {
  const { id } = await params;
  return <DatasetStudio key={id} id={id} />;
}
